-- +goose Up
-- JWT access tokens that were revoked before their end: hash is of issuer and jti. Times are UTC in microseconds.
CREATE TABLE oidc_revoked (
  hash       TEXT PRIMARY KEY NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_revoked_expires ON oidc_revoked (expires_at);
