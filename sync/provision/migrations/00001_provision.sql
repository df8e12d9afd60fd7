-- +goose Up
CREATE TABLE provision_plan (
  hash TEXT PRIMARY KEY,
  maker TEXT NOT NULL,
  made_at BIGINT NOT NULL,
  policy_hash TEXT NOT NULL,
  document BYTEA NOT NULL, -- canonical JSON, gzip
  objects INTEGER NOT NULL,
  state TEXT NOT NULL, -- made, approved, staging, running, done, cancelled
  approver TEXT NOT NULL DEFAULT '',
  approved_at BIGINT NOT NULL DEFAULT 0,
  expires_at BIGINT NOT NULL DEFAULT 0,
  starter TEXT NOT NULL DEFAULT '',
  run TEXT NOT NULL DEFAULT '', -- of its latest application
  started_at BIGINT NOT NULL DEFAULT 0,
  finished_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX provision_plan_run ON provision_plan (run);
CREATE INDEX provision_plan_made ON provision_plan (made_at);

CREATE TABLE provision_op (
  run TEXT NOT NULL,
  seq INTEGER NOT NULL,
  product TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  waits INTEGER NOT NULL,
  enqueued INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'pending', -- pending, done, dropped, quarantined
  attempts INTEGER NOT NULL DEFAULT 0,
  tried INTEGER NOT NULL DEFAULT 0, -- 1: an attempt may have reached the vendor
  reason TEXT NOT NULL DEFAULT '',
  failure TEXT NOT NULL DEFAULT '', -- kind of the last failure while pending
  receipt TEXT NOT NULL DEFAULT '',
  done_at BIGINT NOT NULL DEFAULT 0, -- when it ended; while pending, when it was last tried
  PRIMARY KEY (run, seq)
);
CREATE INDEX provision_op_state ON provision_op (run, state, product);
CREATE INDEX provision_op_ready ON provision_op (run, enqueued, waits, seq);

CREATE TABLE provision_edge (
  run TEXT NOT NULL,
  seq INTEGER NOT NULL,
  next INTEGER NOT NULL,
  PRIMARY KEY (run, seq, next)
);

CREATE TABLE provision_person (
  person_id TEXT PRIMARY KEY,
  leaver_at BIGINT NOT NULL DEFAULT 0,
  touched BIGINT NOT NULL DEFAULT 0 -- every grant and every leaving write this row, so that they can't pass each other unseen
);

CREATE TABLE provision_account (
  product TEXT NOT NULL,
  person_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  seat TEXT NOT NULL,
  account_id TEXT NOT NULL DEFAULT '',
  join_id TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL, -- creating, active, disabled
  attributes TEXT NOT NULL,
  tried_at BIGINT NOT NULL DEFAULT 0,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (product, person_id)
);
CREATE UNIQUE INDEX provision_account_id ON provision_account (product, account_id) WHERE account_id <> '';

CREATE TABLE provision_group (
  product TEXT NOT NULL,
  org_id TEXT NOT NULL,
  group_id TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL,
  tried_at BIGINT NOT NULL DEFAULT 0,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (product, org_id)
);

CREATE TABLE provision_member (
  product TEXT NOT NULL,
  person_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  state TEXT NOT NULL, -- pending: a call was begun and its answer isn't known; in: confirmed
  PRIMARY KEY (product, person_id, org_id)
);

CREATE TABLE provision_leaver (
  product TEXT NOT NULL,
  person_id TEXT NOT NULL,
  cause TEXT NOT NULL, -- why the work was started: the time of leaving, or the operation that granted after it
  state TEXT NOT NULL DEFAULT 'pending', -- pending, done
  attempts INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  failure TEXT NOT NULL DEFAULT '', -- kind of the last failure while pending
  receipt TEXT NOT NULL DEFAULT '',
  left_at BIGINT NOT NULL,
  done_at BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (product, person_id, cause)
);
CREATE INDEX provision_leaver_state ON provision_leaver (state, product);
