-- +goose Up
-- Imports publish by a switch of generation. An import stages complete new records beside the tables, batch by batch, and publishes by
-- writing the batch's number into staged_head.live: from that moment the views person_now and feed_now show the staged records, and what
-- stands in the tables below them is hidden. Afterwards the records are settled, chunk by chunk, into person and feed. At most one batch
-- is live at a time.
--
-- The previous binary reads and writes the tables themselves and stages in its own tables import_*, which stay for it. It sees an import of
-- this version only when it is settled, a few seconds after it was published; settling never overwrites a later change of a person.
-- A later migration drops import_*.

CREATE TABLE staged_head (
  id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  last_batch BIGINT NOT NULL,
  live       BIGINT NOT NULL
);
INSERT INTO staged_head (id, last_batch, live) VALUES (1, 0, 0);

-- A batch whose beat is old and that isn't live was left by a process that died. base and what follows are those of the publication: a row
-- has the feed's number base + ordinal.
CREATE TABLE staged_batch (
  id      BIGINT NOT NULL PRIMARY KEY,
  state   TEXT   NOT NULL,
  beat_at BIGINT NOT NULL,
  base    BIGINT NOT NULL,
  at      BIGINT NOT NULL,
  actor   TEXT   NOT NULL,
  source  TEXT   NOT NULL,
  why     TEXT   NOT NULL
);

-- kind is the kind of change; before the number of the feed row that the person's former record comes from, 0 for somebody new.
CREATE TABLE staged_person (
  batch   BIGINT NOT NULL,
  ordinal BIGINT NOT NULL,
  kind    TEXT   NOT NULL,
  before  BIGINT NOT NULL,
  id            TEXT   NOT NULL,
  org           TEXT   NOT NULL,
  staff_number  TEXT   NOT NULL,
  family_name   TEXT   NOT NULL,
  given_name    TEXT   NOT NULL,
  family_kana   TEXT   NOT NULL,
  given_kana    TEXT   NOT NULL,
  family_romaji TEXT   NOT NULL,
  given_romaji  TEXT   NOT NULL,
  email         TEXT   NOT NULL,
  mailbox       TEXT   NOT NULL,
  role          TEXT   NOT NULL,
  section       TEXT   NOT NULL,
  title         TEXT   NOT NULL,
  duties        TEXT   NOT NULL,
  phone         TEXT   NOT NULL,
  extension     TEXT   NOT NULL,
  fax           TEXT   NOT NULL,
  absent_from   BIGINT NOT NULL,
  absent_until  BIGINT NOT NULL,
  ended_at      BIGINT NOT NULL,
  email_key     TEXT   NOT NULL,
  after_json    TEXT   NOT NULL,
  PRIMARY KEY (batch, ordinal)
);
CREATE UNIQUE INDEX staged_person_id ON staged_person (batch, id);
CREATE INDEX staged_person_page ON staged_person (batch, org, staff_number);
CREATE INDEX staged_person_email ON staged_person (batch, email_key);

-- The two halves of a view give each column the same affinity (hence the casts): only then does SQLite take the view apart and read each half
-- through its indexes, in order.
CREATE VIEW person_now AS
  SELECT p.id, p.org, p.staff_number, p.family_name, p.given_name, p.family_kana, p.given_kana, p.family_romaji,
    p.given_romaji, p.email, p.mailbox, p.role, p.section, p.title, p.duties, p.phone,
    p.extension, p.fax, p.absent_from, p.absent_until, p.ended_at,
    p.email_key, p.updated_at, p.change
  FROM person p
  WHERE NOT EXISTS (
    SELECT 1 FROM staged_person x WHERE x.batch = (SELECT h.live FROM staged_head h WHERE h.id = 1) AND x.id = p.id)
  UNION ALL
  SELECT s.id, s.org, s.staff_number, s.family_name, s.given_name, s.family_kana, s.given_kana, s.family_romaji,
    s.given_romaji, s.email, s.mailbox, s.role, s.section, s.title, s.duties, s.phone,
    s.extension, s.fax, s.absent_from, s.absent_until, s.ended_at,
    s.email_key, b.at AS updated_at, CAST(b.base + s.ordinal AS BIGINT) AS change
  FROM staged_batch b JOIN staged_person s ON s.batch = b.id
  WHERE b.id = (SELECT h.live FROM staged_head h WHERE h.id = 1);

CREATE VIEW feed_now AS
  SELECT number, at, actor, source, why, kind, org, object, before_json, after_json FROM feed
  UNION ALL
  SELECT CAST(b.base + s.ordinal AS BIGINT) AS number, b.at, b.actor, b.source, b.why, s.kind, s.org, s.id AS object,
    CAST(COALESCE((SELECT f.after_json FROM feed f WHERE f.number = s.before), '') AS TEXT) AS before_json, s.after_json
  FROM staged_batch b JOIN staged_person s ON s.batch = b.id
  WHERE b.id = (SELECT h.live FROM staged_head h WHERE h.id = 1);

-- +goose Down
DROP VIEW feed_now;
DROP VIEW person_now;
DROP TABLE staged_person;
DROP TABLE staged_batch;
DROP TABLE staged_head;
