-- +goose Up
-- What people are to be told of their accounts. Times are UTC in microseconds; settled_at is 0 while it waits. expires_at is when what the mail hands
-- over ends, 0 for nothing. sealed is what the mail hands over, encrypted (AES-256-GCM, base64url); empty for nothing and once it was sent.
CREATE TABLE person_notice (
  id         TEXT PRIMARY KEY NOT NULL,
  person_id  TEXT NOT NULL,
  org        TEXT NOT NULL,
  kind       TEXT NOT NULL,
  at         BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  sealed     TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'unsent')),
  why        TEXT NOT NULL,
  settled_at BIGINT NOT NULL
);
CREATE INDEX person_notice_at ON person_notice (at, id);
CREATE INDEX person_notice_person ON person_notice (person_id, at);
CREATE INDEX person_notice_settled ON person_notice (settled_at);
-- +goose Down
DROP TABLE person_notice;
