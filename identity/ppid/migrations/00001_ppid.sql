-- +goose Up
-- Pairwise identifiers. name is a keyed hash of sector and identifier, pair one of person and sector; sealed is person, sector and
-- identifier, encrypted. key_id says under which sealing key all three were made. Times are UTC in microseconds; ended_at is 0 while the
-- identifier stands.
CREATE TABLE ppid (
  name       TEXT PRIMARY KEY NOT NULL,
  pair       TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  key_id     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  ended_at   BIGINT NOT NULL
);
-- Whatever two nodes do at once, a pair has one identifier that stands.
CREATE UNIQUE INDEX ppid_one_stands ON ppid (pair) WHERE ended_at = 0;
