-- +goose Up
-- A leaver that a breaker holds waits in state 'held'. passes: whom a person recorded alone, or announced, or a person has released.
ALTER TABLE provision_leaver ADD COLUMN trip TEXT NOT NULL DEFAULT '';
ALTER TABLE provision_leaver ADD COLUMN passes INTEGER NOT NULL DEFAULT 1;
ALTER TABLE provision_leaver ADD COLUMN origin TEXT NOT NULL DEFAULT '';

-- When somebody last wrote down that a person is or may be in the group: a removal that began before takes no newer row away.
ALTER TABLE provision_member ADD COLUMN stamp BIGINT NOT NULL DEFAULT 0;

-- Who waits for whom, asked from behind: an addition looks at the removals that it waited for.
CREATE INDEX provision_edge_next ON provision_edge (run, next);
-- What was tried and waits, the latest first: asked each second while a plan is applied.
CREATE INDEX provision_op_waiting ON provision_op (run, product, done_at) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX provision_account_org ON provision_account (org_id, state);
CREATE INDEX provision_member_org ON provision_member (org_id, state);

-- What the vendor refuses, one row for each object, in its own words.
CREATE TABLE provision_quarantine (
  id       TEXT    NOT NULL PRIMARY KEY,
  product  TEXT    NOT NULL,
  kind     TEXT    NOT NULL, -- of the operation
  org_id   TEXT    NOT NULL,
  person_id TEXT   NOT NULL,
  wanted   TEXT    NOT NULL, -- fingerprint of what was to be made: another one is tried anew
  words    TEXT    NOT NULL,
  remedy   TEXT    NOT NULL,
  times    INTEGER NOT NULL,
  first_at BIGINT  NOT NULL,
  last_at  BIGINT  NOT NULL,
  state    TEXT    NOT NULL, -- open, ignored, retry, solved
  decided_by TEXT  NOT NULL DEFAULT '',
  decided_at BIGINT NOT NULL DEFAULT 0,
  reason   TEXT    NOT NULL DEFAULT '',
  run      TEXT    NOT NULL DEFAULT '',
  seq      INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX provision_quarantine_object ON provision_quarantine (product, kind, org_id, person_id);
CREATE INDEX provision_quarantine_state ON provision_quarantine (state, last_at, id);

-- Where the hub stands in the directory's feed, one row. pending_at: since when changes wait to be planned.
CREATE TABLE provision_live (
  id          BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  cursor      BIGINT NOT NULL,
  seen        BIGINT NOT NULL,
  pending_at  BIGINT NOT NULL,
  seen_at     BIGINT NOT NULL,
  policy_hash TEXT   NOT NULL
);

-- People who are planned again although the feed doesn't name them: what a breaker let go, what is retried.
CREATE TABLE provision_again (
  person_id TEXT   NOT NULL PRIMARY KEY,
  at        BIGINT NOT NULL
);

-- A new e-mail address of an account that can't change its own: a new account is made and takes the old one's place. From the moment before
-- the call that makes it until the ledger has it, a leaver's work looks for it by this address.
CREATE TABLE provision_heir (
  product   TEXT   NOT NULL,
  person_id TEXT   NOT NULL,
  email     TEXT   NOT NULL,
  tried_at  BIGINT NOT NULL,
  PRIMARY KEY (product, person_id)
);

-- +goose Down
DROP TABLE provision_heir;
DROP TABLE provision_again;
DROP TABLE provision_live;
DROP TABLE provision_quarantine;
DROP INDEX provision_member_org;
DROP INDEX provision_account_org;
DROP INDEX provision_op_waiting;
DROP INDEX provision_edge_next;
ALTER TABLE provision_member DROP COLUMN stamp;
ALTER TABLE provision_leaver DROP COLUMN origin;
ALTER TABLE provision_leaver DROP COLUMN passes;
ALTER TABLE provision_leaver DROP COLUMN trip;
