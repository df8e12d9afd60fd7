-- +goose Up
-- Where inquiries stand. Times are UTC in microseconds. state is escalate.State as JSON; ladder, team, phase, life and due_at repeat what of it is searched.
-- look_at is when the next job looks at it, 0 for none; version counts its changes, and look is the one that asked for that job.
CREATE TABLE inquiry (
  id         TEXT PRIMARY KEY NOT NULL,
  org        TEXT NOT NULL,
  ladder     TEXT NOT NULL,
  team       TEXT NOT NULL,
  phase      TEXT NOT NULL,
  life       BIGINT NOT NULL,
  state      TEXT NOT NULL,
  version    BIGINT NOT NULL,
  look_at    BIGINT NOT NULL,
  look       BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX inquiry_phase ON inquiry (phase, updated_at);
-- Events that were applied, by the key of whoever heard them.
CREATE TABLE inquiry_event (
  inquiry    TEXT NOT NULL,
  key        TEXT NOT NULL,
  kind       TEXT NOT NULL,
  at         BIGINT NOT NULL,
  applied_at BIGINT NOT NULL,
  PRIMARY KEY (inquiry, key)
);
-- What was to be done. body is escalate.Effect as JSON.
CREATE TABLE inquiry_effect (
  inquiry    TEXT NOT NULL,
  key        TEXT NOT NULL,
  kind       TEXT NOT NULL,
  life       BIGINT NOT NULL,
  body       TEXT NOT NULL,
  made_at    BIGINT NOT NULL,
  outcome    TEXT NOT NULL CHECK (outcome IN ('waiting', 'done', 'noted', 'dropped', 'failed')),
  settled_at BIGINT NOT NULL,
  PRIMARY KEY (inquiry, key)
);
-- +goose Down
DROP TABLE inquiry_effect;
DROP TABLE inquiry_event;
DROP TABLE inquiry;
