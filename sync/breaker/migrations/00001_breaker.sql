-- +goose Up
-- Times are UTC in microseconds.

-- The one row of breaker_head is written first by whoever counts, so that two nodes can't both spend the last of a limit.
CREATE TABLE breaker_head (
  id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  touched BIGINT NOT NULL
);
INSERT INTO breaker_head (id, touched) VALUES (1, 0);

-- What was let pass. ref names the piece of work, so that doing it again doesn't count again.
CREATE TABLE breaker_loss (
  ref     TEXT    NOT NULL,
  product TEXT    NOT NULL,
  org     TEXT    NOT NULL,
  loss    TEXT    NOT NULL,
  n       INTEGER NOT NULL,
  at      BIGINT  NOT NULL,
  change_ref TEXT NOT NULL, -- of the upstream change
  cause   TEXT    NOT NULL, -- JSON
  PRIMARY KEY (ref, product, org, loss)
);
CREATE INDEX breaker_loss_at ON breaker_loss (loss, at);

CREATE TABLE breaker_trip (
  id          TEXT    NOT NULL PRIMARY KEY,
  level       TEXT    NOT NULL,
  subject     TEXT    NOT NULL,
  loss        TEXT    NOT NULL,
  window_us   BIGINT  NOT NULL,
  lost        INTEGER NOT NULL,
  asked       INTEGER NOT NULL,
  allowed     INTEGER NOT NULL,
  baseline    INTEGER NOT NULL,
  at          BIGINT  NOT NULL,
  cause       TEXT    NOT NULL, -- JSON: of what was asked for when it tripped
  earlier     TEXT    NOT NULL, -- JSON: the causes of what had been lost before, most first
  state       TEXT    NOT NULL, -- open, released
  released_by TEXT    NOT NULL DEFAULT '',
  released_at BIGINT  NOT NULL DEFAULT 0,
  reason      TEXT    NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX breaker_trip_open ON breaker_trip (level, subject, loss) WHERE state = 'open';
CREATE INDEX breaker_trip_at ON breaker_trip (at, id);

-- What a trip holds. Released, the same loss passes uncounted until it expires.
CREATE TABLE breaker_hold (
  trip    TEXT   NOT NULL,
  product TEXT   NOT NULL,
  org     TEXT   NOT NULL,
  person  TEXT   NOT NULL,
  loss    TEXT   NOT NULL,
  work    TEXT   NOT NULL, -- plan or leaver
  cause   TEXT   NOT NULL, -- JSON
  at      BIGINT NOT NULL,
  state   TEXT   NOT NULL, -- held, released
  expires BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (trip, product, org, person, loss)
);
CREATE INDEX breaker_hold_person ON breaker_hold (person, product, loss, org);

-- How many there are, counted anew now and then: counting everybody for every leaver would take longer than ending them.
CREATE TABLE breaker_baseline (
  level   TEXT   NOT NULL,
  subject TEXT   NOT NULL,
  loss    TEXT   NOT NULL,
  n       INTEGER NOT NULL,
  at      BIGINT NOT NULL,
  PRIMARY KEY (level, subject, loss)
);

-- +goose Down
DROP TABLE breaker_baseline;
DROP TABLE breaker_hold;
DROP TABLE breaker_trip;
DROP TABLE breaker_loss;
DROP TABLE breaker_head;
