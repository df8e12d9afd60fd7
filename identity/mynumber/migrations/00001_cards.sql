-- +goose Up
-- Challenges that a card signs: each is redeemed once. nonce is base64url. Times are UTC in microseconds; 0 is not yet.
CREATE TABLE card_challenge (
  nonce         TEXT PRIMARY KEY NOT NULL,
  login_id      TEXT NOT NULL,
  ticket_sha256 TEXT NOT NULL,
  relying_party TEXT NOT NULL,
  purpose       TEXT NOT NULL,
  issued_at     BIGINT NOT NULL,
  expires_at    BIGINT NOT NULL,
  redeemed_at   BIGINT NOT NULL
);
CREATE INDEX card_challenge_expires ON card_challenge (expires_at);
CREATE INDEX card_challenge_ticket ON card_challenge (ticket_sha256);
-- Which card is whose. credential is a keyed hash of the issuer's name and key and the serial number; nothing of the certificate is kept.
-- key_id names the key of the hash. A row that has ended stays as history.
CREATE TABLE card_link (
  id         TEXT PRIMARY KEY NOT NULL,
  credential TEXT NOT NULL,
  key_id     TEXT NOT NULL,
  person_id  TEXT NOT NULL,
  how        TEXT NOT NULL,
  linked_at  BIGINT NOT NULL,
  ended_at   BIGINT NOT NULL,
  ended_why  TEXT NOT NULL
);
-- One card, one person; one person, one card.
CREATE UNIQUE INDEX card_link_card ON card_link (credential) WHERE ended_at = 0;
CREATE UNIQUE INDEX card_link_person ON card_link (person_id) WHERE ended_at = 0;
-- What the authority says of renewed cards: old and new serial number, as credentials.
CREATE TABLE card_renewal (
  new_credential TEXT PRIMARY KEY NOT NULL,
  old_credential TEXT NOT NULL,
  source         TEXT NOT NULL,
  at             BIGINT NOT NULL
);
