-- +goose Up
-- The SAML identity provider. Times are UTC in microseconds.

-- Requests that were taken: hash is of provider and request ID, so that none is taken twice.
CREATE TABLE saml_request (
  hash       TEXT PRIMARY KEY NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX saml_request_expires ON saml_request (expires_at);

-- Requests by POST, checked, until their browser comes for them: hash is of its cookie, ask is JSON. A row is deleted when it is taken.
CREATE TABLE saml_waiting (
  hash       TEXT PRIMARY KEY NOT NULL,
  network    TEXT NOT NULL,
  ask        TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX saml_waiting_expires ON saml_waiting (expires_at);

-- What one login gave one provider. session_index names the session towards this provider alone.
CREATE TABLE saml_grant (
  id            TEXT PRIMARY KEY NOT NULL,
  party         TEXT NOT NULL,
  network       TEXT NOT NULL,
  session       TEXT NOT NULL,
  session_index TEXT NOT NULL,
  person        TEXT NOT NULL,
  org           TEXT NOT NULL,
  name_id       TEXT NOT NULL,
  format        TEXT NOT NULL,
  created_at    BIGINT NOT NULL,
  expires_at    BIGINT NOT NULL
);
CREATE INDEX saml_grant_session ON saml_grant (session, party);
CREATE INDEX saml_grant_expires ON saml_grant (expires_at);

-- Certificates of signing keys: made once, because providers keep them. der is base64.
CREATE TABLE saml_certificate (
  key_id     TEXT PRIMARY KEY NOT NULL,
  der        TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
