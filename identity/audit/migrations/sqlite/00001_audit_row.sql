-- +goose Up
-- Who did what. at is UTC in microseconds; seq stays NULL until the row is sequenced; org is empty for the whole workspace.
CREATE TABLE audit_row (
  id          TEXT PRIMARY KEY NOT NULL,
  seq         INTEGER UNIQUE,
  at          INTEGER NOT NULL,
  actor       TEXT NOT NULL,
  actor_kind  TEXT NOT NULL CHECK (actor_kind IN ('person', 'break_glass', 'system')),
  action      TEXT NOT NULL,
  org         TEXT NOT NULL,
  object      TEXT NOT NULL,
  outcome     TEXT NOT NULL CHECK (outcome IN ('allowed', 'refused', 'done')),
  reason      TEXT NOT NULL,
  policy_hash TEXT NOT NULL,
  detail      TEXT NOT NULL
);
CREATE INDEX audit_row_at ON audit_row (at, id);
CREATE INDEX audit_row_org ON audit_row (org, at, id);
CREATE INDEX audit_row_actor ON audit_row (actor, at, id);

-- A row is never changed, deleted, or replaced: INSERT OR REPLACE fires no delete trigger, hence the third.
-- +goose StatementBegin
CREATE TRIGGER audit_row_no_update BEFORE UPDATE ON audit_row
BEGIN
  SELECT RAISE(ABORT, 'audit_row is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_row_no_delete BEFORE DELETE ON audit_row
BEGIN
  SELECT RAISE(ABORT, 'audit_row is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_row_no_replace BEFORE INSERT ON audit_row
WHEN EXISTS (SELECT 1 FROM audit_row WHERE id = NEW.id OR seq = NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'audit_row is append-only');
END;
-- +goose StatementEnd
