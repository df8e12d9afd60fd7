-- +goose Up
-- Login requests. Times are UTC in microseconds. browser_sha256 is the hex SHA-256 of the cookie of the browser that began it; max_age is
-- -1 where the relying party set none; proof, pending are JSON or empty.
CREATE TABLE login_request (
  id             TEXT PRIMARY KEY NOT NULL,
  issuer         TEXT NOT NULL,
  relying_party  TEXT NOT NULL,
  facts          TEXT NOT NULL,
  network        TEXT NOT NULL,
  required       BIGINT NOT NULL,
  force_login    BIGINT NOT NULL,
  passive        BIGINT NOT NULL,
  choose_post    BIGINT NOT NULL,
  max_age        BIGINT NOT NULL,
  hint_person    TEXT NOT NULL,
  browser_sha256 TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  state          TEXT NOT NULL,
  attempts       BIGINT NOT NULL,
  proof          TEXT NOT NULL,
  pending        TEXT NOT NULL,
  post           TEXT NOT NULL
);
CREATE INDEX login_request_expires ON login_request (expires_at, id);
-- Tries of methods. A ticket names one on the method's host; a code brings what it proved back to the browser that proved it. Both are used
-- once and kept as hex SHA-256 alone.
CREATE TABLE login_attempt (
  ticket_sha256 TEXT PRIMARY KEY NOT NULL,
  request_id    TEXT NOT NULL,
  method        TEXT NOT NULL,
  created_at    BIGINT NOT NULL,
  expires_at    BIGINT NOT NULL,
  used_at       BIGINT NOT NULL,
  code_sha256   TEXT NOT NULL,
  proof         TEXT NOT NULL,
  returned_at   BIGINT NOT NULL
);
CREATE INDEX login_attempt_request ON login_attempt (request_id);
