-- +goose Up
-- The OpenID provider. Hashes are hex SHA-256 of 256 random bits. Times are UTC in microseconds, 0 for not yet. Lists are joined by spaces.

-- Pushed authorization requests (RFC 9126); facts is JSON. A row is deleted when it is used.
CREATE TABLE oidc_pushed (
  hash       TEXT PRIMARY KEY NOT NULL,
  party      TEXT NOT NULL,
  network    TEXT NOT NULL,
  params     TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_pushed_expires ON oidc_pushed (expires_at);

-- What one login gave one relying party. sid names the session towards this party alone.
CREATE TABLE oidc_grant (
  id          TEXT PRIMARY KEY NOT NULL,
  party       TEXT NOT NULL,
  network     TEXT NOT NULL,
  session     TEXT NOT NULL,
  sid         TEXT NOT NULL,
  person      TEXT NOT NULL,
  org         TEXT NOT NULL,
  sub         TEXT NOT NULL,
  scope       TEXT NOT NULL,
  nonce       TEXT NOT NULL,
  assurance   BIGINT NOT NULL,
  amr         TEXT NOT NULL,
  auth_at     BIGINT NOT NULL,
  released    TEXT NOT NULL,
  policy_hash TEXT NOT NULL,
  created_at  BIGINT NOT NULL,
  expires_at  BIGINT NOT NULL,
  ended_at    BIGINT NOT NULL,
  ended_why   TEXT NOT NULL
);
CREATE INDEX oidc_grant_session ON oidc_grant (session, party);
CREATE INDEX oidc_grant_expires ON oidc_grant (expires_at);

CREATE TABLE oidc_code (
  hash         TEXT PRIMARY KEY NOT NULL,
  grant_id     TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  challenge    TEXT NOT NULL,
  expires_at   BIGINT NOT NULL,
  used_at      BIGINT NOT NULL
);
CREATE INDEX oidc_code_grant ON oidc_code (grant_id);

-- Access and refresh tokens. A used refresh token stays until its grant expires: that is how its reuse is noticed.
CREATE TABLE oidc_token (
  hash       TEXT PRIMARY KEY NOT NULL,
  grant_id   TEXT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
  scope      TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at    BIGINT NOT NULL
);
CREATE INDEX oidc_token_grant ON oidc_token (grant_id);
CREATE INDEX oidc_token_expires ON oidc_token (expires_at);

-- Client assertions that were taken: hash is of party and jti.
CREATE TABLE oidc_assertion (
  hash       TEXT PRIMARY KEY NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_assertion_expires ON oidc_assertion (expires_at);

-- Logouts that a person is asked to confirm.
CREATE TABLE oidc_confirm (
  hash       TEXT PRIMARY KEY NOT NULL,
  session    TEXT NOT NULL,
  location   TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_confirm_expires ON oidc_confirm (expires_at);

-- Back-channel logouts and their receipts. status is the HTTP status of the newest try, 0 for no answer.
CREATE TABLE oidc_logout (
  id         TEXT PRIMARY KEY NOT NULL,
  party      TEXT NOT NULL,
  network    TEXT NOT NULL,
  session    TEXT NOT NULL,
  sid        TEXT NOT NULL,
  sub        TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
  tries      BIGINT NOT NULL,
  status     BIGINT NOT NULL,
  why        TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  settled_at BIGINT NOT NULL
);
CREATE INDEX oidc_logout_state ON oidc_logout (state, created_at);
