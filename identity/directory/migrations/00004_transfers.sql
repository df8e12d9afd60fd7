-- +goose Up
-- Dated transfers, who may see those under embargo, vacancies and notices. "number" is that of the feed row that recorded the transfer: the
-- order in which transfers of one instant take effect. A row with a batch is staged by an import: nobody sees it, and its number counts the rows.

CREATE TABLE transfer (
  id             TEXT   NOT NULL PRIMARY KEY,
  number         BIGINT NOT NULL,
  person         TEXT   NOT NULL,
  name           TEXT   NOT NULL,
  kind           TEXT   NOT NULL,
  from_org       TEXT   NOT NULL REFERENCES org (id),
  to_org         TEXT   NOT NULL REFERENCES org (id),
  staff_number   TEXT   NOT NULL,
  section        TEXT   NOT NULL,
  title          TEXT   NOT NULL,
  duties         TEXT   NOT NULL,
  phone          TEXT   NOT NULL,
  extension      TEXT   NOT NULL,
  fax            TEXT   NOT NULL,
  email          TEXT   NOT NULL,
  role           TEXT   NOT NULL,
  at             BIGINT NOT NULL,
  return_at      BIGINT NOT NULL,
  handover_until BIGINT NOT NULL,
  successor      TEXT   NOT NULL,
  embargo        BIGINT NOT NULL,
  accepted_by    TEXT   NOT NULL,
  accepted_at    BIGINT NOT NULL,
  recorded_by    TEXT   NOT NULL,
  recorded_at    BIGINT NOT NULL,
  why            TEXT   NOT NULL,
  source         TEXT   NOT NULL,
  state          TEXT   NOT NULL,
  reason         TEXT   NOT NULL,
  late           BIGINT NOT NULL,
  settled_at     BIGINT NOT NULL,
  parent         TEXT   NOT NULL,
  batch          TEXT   NOT NULL DEFAULT '',
  staged_json    TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX feed_transfer ON feed (object, number) WHERE kind >= 'transfer.' AND kind < 'transfer/';
CREATE INDEX transfer_due ON transfer (at, number) WHERE state = 'planned';
CREATE INDEX transfer_person ON transfer (person, at);
CREATE INDEX transfer_page ON transfer (at, id);
CREATE INDEX transfer_from ON transfer (from_org, at, id);
CREATE INDEX transfer_to ON transfer (to_org, at, id);
CREATE INDEX transfer_batch ON transfer (batch) WHERE batch <> '';
CREATE INDEX transfer_parent ON transfer (parent) WHERE parent <> '';

CREATE TABLE transfer_named (
  transfer TEXT NOT NULL REFERENCES transfer (id),
  person   TEXT NOT NULL,
  PRIMARY KEY (transfer, person)
);

ALTER TABLE post ADD COLUMN staff_number TEXT NOT NULL DEFAULT '';
ALTER TABLE post ADD COLUMN phone TEXT NOT NULL DEFAULT '';
ALTER TABLE post ADD COLUMN extension TEXT NOT NULL DEFAULT '';
ALTER TABLE post ADD COLUMN fax TEXT NOT NULL DEFAULT '';
ALTER TABLE post ADD COLUMN email TEXT NOT NULL DEFAULT '';

CREATE INDEX person_administrator ON person (org, role) WHERE role <> 'general' AND ended_at = 0;
CREATE INDEX appointment_until ON appointment (valid_until) WHERE valid_until <> 0;

-- An organization has at most one vacancy at a time: ended_at = 0.
CREATE TABLE vacancy (
  org      TEXT   NOT NULL REFERENCES org (id),
  since    BIGINT NOT NULL,
  cause    TEXT   NOT NULL,
  ended_at BIGINT NOT NULL,
  PRIMARY KEY (org, since, cause)
);
CREATE UNIQUE INDEX vacancy_open ON vacancy (org) WHERE ended_at = 0;

CREATE TABLE notice (
  id     TEXT   NOT NULL PRIMARY KEY,
  at     BIGINT NOT NULL,
  kind   TEXT   NOT NULL,
  org    TEXT   NOT NULL,
  object TEXT   NOT NULL,
  detail TEXT   NOT NULL
);
CREATE INDEX notice_at ON notice (at, id);

-- +goose Down
DROP TABLE notice;
DROP TABLE vacancy;
DROP INDEX appointment_until;
DROP INDEX person_administrator;
ALTER TABLE post DROP COLUMN email;
ALTER TABLE post DROP COLUMN fax;
ALTER TABLE post DROP COLUMN extension;
ALTER TABLE post DROP COLUMN phone;
ALTER TABLE post DROP COLUMN staff_number;
DROP INDEX feed_transfer;
DROP TABLE transfer_named;
DROP TABLE transfer;
