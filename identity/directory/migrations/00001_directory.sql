-- +goose Up
-- Times are UTC in microseconds. "change" is the number of the feed row that last touched the row: it tells an import whether
-- somebody else was there between its reading and its publishing.

CREATE TABLE org (
  id         TEXT   NOT NULL PRIMARY KEY,
  kind       TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  kana       TEXT   NOT NULL,
  parent     TEXT   NOT NULL,
  updated_at BIGINT NOT NULL,
  change     BIGINT NOT NULL
);
CREATE INDEX org_kind ON org (kind, id);

CREATE TABLE person (
  id           TEXT   NOT NULL PRIMARY KEY,
  org          TEXT   NOT NULL REFERENCES org (id),
  staff_number TEXT   NOT NULL,
  family_name  TEXT   NOT NULL,
  given_name   TEXT   NOT NULL,
  family_kana  TEXT   NOT NULL,
  given_kana   TEXT   NOT NULL,
  email        TEXT   NOT NULL,
  email_key    TEXT   NOT NULL,
  role         TEXT   NOT NULL,
  ended_at     BIGINT NOT NULL,
  updated_at   BIGINT NOT NULL,
  change       BIGINT NOT NULL
);
CREATE UNIQUE INDEX person_staff_number ON person (org, staff_number);
CREATE UNIQUE INDEX person_email ON person (email_key) WHERE ended_at = 0;
CREATE INDEX person_page ON person (org, id);

-- The one row of feed_head hands out the feed's numbers. Every writer updates it first, so numbers have no gaps and follow the
-- order of the commits.
CREATE TABLE feed_head (
  id          BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  last_number BIGINT NOT NULL
);
INSERT INTO feed_head (id, last_number) VALUES (1, 0);

CREATE TABLE feed (
  number      BIGINT NOT NULL PRIMARY KEY,
  at          BIGINT NOT NULL,
  actor       TEXT   NOT NULL,
  source      TEXT   NOT NULL,
  why         TEXT   NOT NULL,
  kind        TEXT   NOT NULL,
  org         TEXT   NOT NULL,
  object      TEXT   NOT NULL,
  before_json TEXT   NOT NULL,
  after_json  TEXT   NOT NULL
);
CREATE INDEX feed_org ON feed (org, number);

-- Staging of imports. A batch whose beat is old was left by a process that died; the next import drops it.
CREATE TABLE import_head (
  id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  last_batch BIGINT NOT NULL
);
INSERT INTO import_head (id, last_batch) VALUES (1, 0);

CREATE TABLE import_batch (
  id      BIGINT NOT NULL PRIMARY KEY,
  state   TEXT   NOT NULL,
  beat_at BIGINT NOT NULL
);

-- ordinal counts the rows of a batch from 1: published, a row gets the feed's number at that time plus ordinal. base is the number of the
-- feed row that the person's record comes from; 0 for somebody new.
CREATE TABLE import_person (
  batch        BIGINT NOT NULL,
  ordinal      BIGINT NOT NULL,
  base         BIGINT NOT NULL,
  id           TEXT   NOT NULL,
  org          TEXT   NOT NULL,
  staff_number TEXT   NOT NULL,
  family_name  TEXT   NOT NULL,
  given_name   TEXT   NOT NULL,
  family_kana  TEXT   NOT NULL,
  given_kana   TEXT   NOT NULL,
  email        TEXT   NOT NULL,
  email_key    TEXT   NOT NULL,
  role         TEXT   NOT NULL,
  after_json   TEXT   NOT NULL,
  PRIMARY KEY (batch, ordinal)
);

-- +goose Down
DROP TABLE import_person;
DROP TABLE import_batch;
DROP TABLE import_head;
DROP TABLE feed;
DROP TABLE feed_head;
DROP TABLE person;
DROP TABLE org;
