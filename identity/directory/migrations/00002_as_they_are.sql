-- +goose Up
-- Organizations with dates, contacts and their state of joining; people with romaji, section, title, duties and absence; posts beside the
-- main one; who serves whom; who stands in for whom. Every new column has a default, so that the previous binary still writes.

ALTER TABLE org ADD COLUMN valid_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE org ADD COLUMN valid_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE org ADD COLUMN successor TEXT NOT NULL DEFAULT '';
ALTER TABLE org ADD COLUMN state TEXT NOT NULL DEFAULT 'listed';
ALTER TABLE org ADD COLUMN duty_name TEXT NOT NULL DEFAULT '';
ALTER TABLE org ADD COLUMN duty_phone TEXT NOT NULL DEFAULT '';
ALTER TABLE org ADD COLUMN duty_email TEXT NOT NULL DEFAULT '';
ALTER TABLE org ADD COLUMN night_name TEXT NOT NULL DEFAULT '';
ALTER TABLE org ADD COLUMN night_phone TEXT NOT NULL DEFAULT '';
ALTER TABLE org ADD COLUMN night_email TEXT NOT NULL DEFAULT '';

ALTER TABLE person ADD COLUMN family_romaji TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN given_romaji TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN mailbox TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN section TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN duties TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN phone TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN extension TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN fax TEXT NOT NULL DEFAULT '';
ALTER TABLE person ADD COLUMN absent_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE person ADD COLUMN absent_until BIGINT NOT NULL DEFAULT 0;

CREATE TABLE post (
  id          TEXT   NOT NULL PRIMARY KEY,
  person      TEXT   NOT NULL REFERENCES person (id),
  kind        TEXT   NOT NULL,
  org         TEXT   NOT NULL REFERENCES org (id),
  section     TEXT   NOT NULL,
  title       TEXT   NOT NULL,
  duties      TEXT   NOT NULL,
  role        TEXT   NOT NULL,
  valid_from  BIGINT NOT NULL,
  valid_until BIGINT NOT NULL
);
CREATE INDEX post_person ON post (person);
CREATE INDEX post_org ON post (org, person);

CREATE TABLE service (
  contractor  TEXT   NOT NULL REFERENCES org (id),
  org         TEXT   NOT NULL REFERENCES org (id),
  valid_from  BIGINT NOT NULL,
  valid_until BIGINT NOT NULL,
  PRIMARY KEY (contractor, org, valid_from)
);
CREATE INDEX service_org ON service (org, contractor);

CREATE TABLE appointment (
  org         TEXT   NOT NULL REFERENCES org (id),
  kind        TEXT   NOT NULL,
  person      TEXT   NOT NULL REFERENCES person (id),
  valid_from  BIGINT NOT NULL,
  valid_until BIGINT NOT NULL,
  PRIMARY KEY (org, kind, person, valid_from)
);
CREATE INDEX appointment_person ON appointment (person, org);

-- +goose Down
DROP TABLE appointment;
DROP TABLE service;
DROP TABLE post;
ALTER TABLE person DROP COLUMN absent_until;
ALTER TABLE person DROP COLUMN absent_from;
ALTER TABLE person DROP COLUMN fax;
ALTER TABLE person DROP COLUMN extension;
ALTER TABLE person DROP COLUMN phone;
ALTER TABLE person DROP COLUMN duties;
ALTER TABLE person DROP COLUMN title;
ALTER TABLE person DROP COLUMN section;
ALTER TABLE person DROP COLUMN mailbox;
ALTER TABLE person DROP COLUMN given_romaji;
ALTER TABLE person DROP COLUMN family_romaji;
ALTER TABLE org DROP COLUMN night_email;
ALTER TABLE org DROP COLUMN night_phone;
ALTER TABLE org DROP COLUMN night_name;
ALTER TABLE org DROP COLUMN duty_email;
ALTER TABLE org DROP COLUMN duty_phone;
ALTER TABLE org DROP COLUMN duty_name;
ALTER TABLE org DROP COLUMN state;
ALTER TABLE org DROP COLUMN successor;
ALTER TABLE org DROP COLUMN valid_until;
ALTER TABLE org DROP COLUMN valid_from;
