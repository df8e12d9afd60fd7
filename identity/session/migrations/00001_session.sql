-- +goose Up
-- Sessions of browsers. Times are UTC in microseconds; ended_at is 0 while a session stands. The cookie's secret is kept nowhere:
-- secret_sha256 is its SHA-256 in hex, and it holds 256 random bits. A renewed cookie replaces it.
CREATE TABLE session (
  id            TEXT PRIMARY KEY NOT NULL,
  secret_sha256 TEXT NOT NULL UNIQUE,
  person_id     TEXT NOT NULL,
  org           TEXT NOT NULL,
  network       TEXT NOT NULL,
  assurance     BIGINT NOT NULL,
  amr           TEXT NOT NULL,
  method        TEXT NOT NULL,
  credential    TEXT NOT NULL,
  auth_at       BIGINT NOT NULL,
  created_at    BIGINT NOT NULL,
  seen_at       BIGINT NOT NULL,
  ended_at      BIGINT NOT NULL,
  ended_why     TEXT NOT NULL,
  agent         TEXT NOT NULL
);
CREATE INDEX session_person ON session (person_id, ended_at, created_at, id);
CREATE INDEX session_credential ON session (credential, ended_at);
CREATE INDEX session_ended ON session (ended_at, seen_at);
-- Relying parties that were told of a session, for logout.
CREATE TABLE session_party (
  session_id    TEXT NOT NULL,
  relying_party TEXT NOT NULL,
  issuer        TEXT NOT NULL,
  at            BIGINT NOT NULL,
  PRIMARY KEY (session_id, relying_party, issuer)
);
