-- +goose Up
-- SAML service providers. config is JSON, checked before it is stored. Times are UTC in microseconds.
CREATE TABLE saml_party (
  id         TEXT PRIMARY KEY NOT NULL,
  entity_id  TEXT NOT NULL UNIQUE,
  config     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
