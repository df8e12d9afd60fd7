-- +goose Up
-- Single logout. Times are UTC in microseconds, 0 for not yet.

-- asked_at: the provider itself asked to end this session, so it isn't told. ended_at: the session ended.
ALTER TABLE saml_grant ADD COLUMN asked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE saml_grant ADD COLUMN ended_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX saml_grant_name ON saml_grant (party, name_id);

-- What one provider is told of the end of one session, and its receipt. A front-channel logout is untold until a browser takes it there, and
-- unconfirmed until a signed answer to request comes back. until: its session ends then at the latest, whatever it hears.
CREATE TABLE saml_logout (
  id            TEXT PRIMARY KEY NOT NULL,
  party         TEXT NOT NULL,
  network       TEXT NOT NULL,
  session       TEXT NOT NULL,
  session_index TEXT NOT NULL,
  name_id       TEXT NOT NULL,
  format        TEXT NOT NULL,
  channel       TEXT NOT NULL CHECK (channel IN ('soap', 'front', 'none', 'asked')),
  state         TEXT NOT NULL CHECK (state IN ('pending', 'untold', 'unconfirmed', 'delivered', 'partial', 'failed')),
  leave         TEXT NOT NULL,
  request       TEXT NOT NULL,
  tries         BIGINT NOT NULL,
  status        BIGINT NOT NULL,
  why           TEXT NOT NULL,
  until         BIGINT NOT NULL,
  created_at    BIGINT NOT NULL,
  asked_at      BIGINT NOT NULL,
  settled_at    BIGINT NOT NULL
);
CREATE INDEX saml_logout_state ON saml_logout (state, created_at);
CREATE INDEX saml_logout_created ON saml_logout (created_at, id);
CREATE INDEX saml_logout_session ON saml_logout (session);
CREATE INDEX saml_logout_request ON saml_logout (request);

-- A browser's way through the providers when a session ends. browser is the SHA-256 of its cookie; facts is JSON.
CREATE TABLE saml_leave (
  id         TEXT PRIMARY KEY NOT NULL,
  browser    TEXT NOT NULL,
  network    TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('asked', 'leaving', 'done')),
  facts      TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX saml_leave_expires ON saml_leave (expires_at);
