-- +goose Up
-- OpenID Connect relying parties. config is JSON, checked before it is stored. Times are UTC in microseconds.
CREATE TABLE oidc_party (
  id         TEXT PRIMARY KEY NOT NULL,
  config     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
