-- +goose Up
-- The key that a provider was answered by; empty where it wasn't kept yet.
ALTER TABLE saml_grant ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
-- The key that signed the open request to log out.
ALTER TABLE saml_logout ADD COLUMN key_id TEXT NOT NULL DEFAULT '';

-- How far service providers have come on the way to the next signing key. Times are UTC in microseconds. A provider that is taken out takes its rows along.

-- What is known of a provider and a key. network is empty for all of the provider's. note is the program that fetched, or who said so.
CREATE TABLE saml_key_evidence (
  party    TEXT NOT NULL REFERENCES saml_party (id) ON DELETE CASCADE,
  network  TEXT NOT NULL,
  key_id   TEXT NOT NULL,
  kind     TEXT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at  BIGINT NOT NULL,
  note     TEXT NOT NULL,
  PRIMARY KEY (party, network, key_id, kind)
);

-- Towards whom the next key signs already (held = 0), or isn't to sign, because it was tried and failed (held = 1).
CREATE TABLE saml_key_switch (
  party  TEXT PRIMARY KEY NOT NULL REFERENCES saml_party (id) ON DELETE CASCADE,
  key_id TEXT NOT NULL,
  held   BIGINT NOT NULL,
  at     BIGINT NOT NULL,
  actor  TEXT NOT NULL
);

-- Rehearsals: one login of one person to one provider that the next key signs. used_at is 0 until then.
CREATE TABLE saml_key_rehearsal (
  id         TEXT PRIMARY KEY NOT NULL,
  party      TEXT NOT NULL REFERENCES saml_party (id) ON DELETE CASCADE,
  person     TEXT NOT NULL,
  network    TEXT NOT NULL,
  key_id     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at    BIGINT NOT NULL
);
CREATE INDEX saml_key_rehearsal_party ON saml_key_rehearsal (party, person);

-- Which warnings before a certificate's end were given: each once.
CREATE TABLE saml_key_warning (
  key_id TEXT NOT NULL,
  days   BIGINT NOT NULL,
  at     BIGINT NOT NULL,
  PRIMARY KEY (key_id, days)
);
