-- +goose Up
-- Times are UTC in microseconds. The browser's secrets are kept nowhere: token_sha256 is their SHA-256 in hex, and each holds 256
-- random bits. credential is the id of the local credential by which the ticket was asked for; empty where there was none.

CREATE TABLE console_ticket (
  token_sha256 TEXT   NOT NULL PRIMARY KEY,
  person_id    TEXT   NOT NULL,
  credential   TEXT   NOT NULL,
  created_at   BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  used_at      BIGINT NOT NULL -- 0 until it is used
);

CREATE TABLE console_session (
  token_sha256 TEXT   NOT NULL PRIMARY KEY,
  person_id    TEXT   NOT NULL,
  credential   TEXT   NOT NULL,
  created_at   BIGINT NOT NULL,
  seen_at      BIGINT NOT NULL, -- of the last request, to the minute
  expires_at   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE console_session;
DROP TABLE console_ticket;
