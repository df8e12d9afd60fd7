-- +goose Up
-- Signing keys. public is the key in PKIX form; sealed is the private key, encrypted (docs/audit.md), and empty once the key has
-- retired: nothing is signed by it any more. Times are UTC in microseconds, 0 for not yet. All is text, so that both engines keep it alike.
CREATE TABLE signing_key (
  id           TEXT PRIMARY KEY NOT NULL,
  purpose      TEXT NOT NULL,
  algorithm    TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired')),
  public       TEXT NOT NULL,
  sealed       TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  activated_at BIGINT NOT NULL,
  retired_at   BIGINT NOT NULL
);
-- At most one key signs and at most one waits, whatever two nodes do at once.
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (purpose) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_one_next ON signing_key (purpose) WHERE state = 'next';
