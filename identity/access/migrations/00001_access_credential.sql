-- +goose Up
-- Local credentials of people. Times are UTC in microseconds; revoked_at is 0 while the credential stands. The token itself is
-- kept nowhere: token_sha256 is its SHA-256 in hex, and the token holds 256 random bits.
CREATE TABLE access_credential (
  id           TEXT PRIMARY KEY NOT NULL,
  person_id    TEXT NOT NULL,
  token_sha256 TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  revoked_at   BIGINT NOT NULL,
  note         TEXT NOT NULL
);
CREATE INDEX access_credential_person ON access_credential (person_id, id);
