-- +goose Up
-- Sequencing. A row waits in audit_unsequenced until the leader gives it a place in the Merkle log (audit_leaf), with the hashes
-- above the leaves (audit_node; level 1 and up) and a signed checkpoint of each state. Personal data stands beside the row, which
-- carries only a salted commitment to it, so that it can be erased. The column audit_row.seq stays unused: rows never change.
ALTER TABLE audit_row ADD COLUMN commitment TEXT NOT NULL DEFAULT '';

CREATE TABLE audit_log (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  origin TEXT NOT NULL
);
CREATE TABLE audit_unsequenced (row_id TEXT PRIMARY KEY NOT NULL);
CREATE TABLE audit_personal (
  row_id TEXT PRIMARY KEY NOT NULL,
  salt   BLOB NOT NULL,
  data   TEXT NOT NULL
);
CREATE TABLE audit_leaf (
  seq     INTEGER PRIMARY KEY,
  row_id  TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  hash    BLOB NOT NULL
);
CREATE TABLE audit_node (
  level INTEGER NOT NULL,
  n     INTEGER NOT NULL,
  hash  BLOB NOT NULL,
  PRIMARY KEY (level, n)
) WITHOUT ROWID;
CREATE TABLE audit_checkpoint (
  size  INTEGER PRIMARY KEY,
  at    INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  note  TEXT NOT NULL
);
CREATE INDEX audit_row_object ON audit_row (object, at, id);
INSERT INTO audit_unsequenced (row_id) SELECT id FROM audit_row;

-- By a trigger, so that no way to add a row forgets it, be it the program before this one.
-- +goose StatementBegin
CREATE TRIGGER audit_row_waits AFTER INSERT ON audit_row
BEGIN
  INSERT INTO audit_unsequenced (row_id) VALUES (NEW.id);
END;
-- +goose StatementEnd

-- What was signed is never changed, deleted or replaced.
-- +goose StatementBegin
CREATE TRIGGER audit_leaf_no_update BEFORE UPDATE ON audit_leaf
BEGIN
  SELECT RAISE(ABORT, 'audit_leaf is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_leaf_no_delete BEFORE DELETE ON audit_leaf
BEGIN
  SELECT RAISE(ABORT, 'audit_leaf is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_leaf_no_replace BEFORE INSERT ON audit_leaf
WHEN EXISTS (SELECT 1 FROM audit_leaf WHERE seq = NEW.seq OR row_id = NEW.row_id)
BEGIN
  SELECT RAISE(ABORT, 'audit_leaf is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_node_no_update BEFORE UPDATE ON audit_node
BEGIN
  SELECT RAISE(ABORT, 'audit_node is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_node_no_delete BEFORE DELETE ON audit_node
BEGIN
  SELECT RAISE(ABORT, 'audit_node is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_node_no_replace BEFORE INSERT ON audit_node
WHEN EXISTS (SELECT 1 FROM audit_node WHERE level = NEW.level AND n = NEW.n)
BEGIN
  SELECT RAISE(ABORT, 'audit_node is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoint_no_update BEFORE UPDATE ON audit_checkpoint
BEGIN
  SELECT RAISE(ABORT, 'audit_checkpoint is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoint_no_delete BEFORE DELETE ON audit_checkpoint
BEGIN
  SELECT RAISE(ABORT, 'audit_checkpoint is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoint_no_replace BEFORE INSERT ON audit_checkpoint
WHEN EXISTS (SELECT 1 FROM audit_checkpoint WHERE size = NEW.size)
BEGIN
  SELECT RAISE(ABORT, 'audit_checkpoint is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE one = NEW.one)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- Personal data is erased or stays as it was.
-- +goose StatementBegin
CREATE TRIGGER audit_personal_no_update BEFORE UPDATE ON audit_personal
BEGIN
  SELECT RAISE(ABORT, 'audit_personal may be erased, not changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_personal_no_replace BEFORE INSERT ON audit_personal
WHEN EXISTS (SELECT 1 FROM audit_personal WHERE row_id = NEW.row_id)
BEGIN
  SELECT RAISE(ABORT, 'audit_personal may be erased, not changed');
END;
-- +goose StatementEnd
