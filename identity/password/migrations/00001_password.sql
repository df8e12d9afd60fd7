-- +goose Up
-- Passwords of people, as argon2id hashes in the PHC string format. kind is link or sealed. Times are UTC in microseconds.
CREATE TABLE password_account (
  person_id  TEXT NOT NULL,
  kind       TEXT NOT NULL,
  hash       TEXT NOT NULL,
  set_at     BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (person_id, kind)
);
-- When a counter will have forgotten everything (the theoretical arrival time of a leaky bucket). Keys are SHA-256 in hex.
CREATE TABLE password_throttle (
  key TEXT PRIMARY KEY NOT NULL,
  tat BIGINT NOT NULL
);
CREATE INDEX password_throttle_tat ON password_throttle (tat);
-- Addresses from which a person has given the right password, as SHA-256 of person and address.
CREATE TABLE password_known (
  key       TEXT PRIMARY KEY NOT NULL,
  person_id TEXT NOT NULL,
  at        BIGINT NOT NULL
);
CREATE INDEX password_known_person ON password_known (person_id);
