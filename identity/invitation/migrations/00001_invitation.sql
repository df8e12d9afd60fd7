-- +goose Up
-- Invitations of administrators. Times are UTC in microseconds; used_at and voided_at are 0 while it stands. path_sha256 is the hex SHA-256 of the
-- path's secret (256 bits); code_hash that of both secrets together, so that the row gives the letter's code away to nobody.
CREATE TABLE invitation (
  id          TEXT PRIMARY KEY NOT NULL,
  person_id   TEXT NOT NULL,
  org         TEXT NOT NULL,
  path_sha256 TEXT NOT NULL UNIQUE,
  code_sha256 TEXT NOT NULL,
  created_at  BIGINT NOT NULL,
  expires_at  BIGINT NOT NULL,
  tries       BIGINT NOT NULL,
  used_at     BIGINT NOT NULL,
  voided_at   BIGINT NOT NULL
);
CREATE INDEX invitation_org ON invitation (org, created_at);
