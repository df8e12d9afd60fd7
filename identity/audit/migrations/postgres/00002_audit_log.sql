-- +goose Up
-- Sequencing. A row waits in audit_unsequenced until the leader gives it a place in the Merkle log (audit_leaf), with the hashes
-- above the leaves (audit_node; level 1 and up) and a signed checkpoint of each state. Personal data stands beside the row, which
-- carries only a salted commitment to it, so that it can be erased. The column audit_row.seq stays unused: rows never change.
ALTER TABLE audit_row ADD COLUMN commitment TEXT NOT NULL DEFAULT '';

CREATE TABLE audit_log (
  one    BIGINT PRIMARY KEY CHECK (one = 1),
  origin TEXT NOT NULL
);
CREATE TABLE audit_unsequenced (row_id TEXT PRIMARY KEY NOT NULL);
CREATE TABLE audit_personal (
  row_id TEXT PRIMARY KEY NOT NULL,
  salt   BYTEA NOT NULL,
  data   TEXT NOT NULL
);
CREATE TABLE audit_leaf (
  seq     BIGINT PRIMARY KEY,
  row_id  TEXT NOT NULL UNIQUE,
  version BIGINT NOT NULL,
  hash    BYTEA NOT NULL
);
CREATE TABLE audit_node (
  level BIGINT NOT NULL,
  n     BIGINT NOT NULL,
  hash  BYTEA NOT NULL,
  PRIMARY KEY (level, n)
);
CREATE TABLE audit_checkpoint (
  size  BIGINT PRIMARY KEY,
  at    BIGINT NOT NULL,
  fence BIGINT NOT NULL,
  note  TEXT NOT NULL
);
CREATE INDEX audit_row_object ON audit_row (object, at, id);
INSERT INTO audit_unsequenced (row_id) SELECT id FROM audit_row;

-- By a trigger, so that no way to add a row forgets it, be it the program before this one.
-- +goose StatementBegin
CREATE FUNCTION audit_row_waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_unsequenced (row_id) VALUES (NEW.id);
  RETURN NULL;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_row_waits AFTER INSERT ON audit_row
  FOR EACH ROW EXECUTE FUNCTION audit_row_waits();

-- What was signed is never changed or deleted.
-- +goose StatementBegin
CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_leaf_no_change BEFORE UPDATE OR DELETE ON audit_leaf
  FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_leaf_no_truncate BEFORE TRUNCATE ON audit_leaf
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_node_no_change BEFORE UPDATE OR DELETE ON audit_node
  FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_node_no_truncate BEFORE TRUNCATE ON audit_node
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_checkpoint_no_change BEFORE UPDATE OR DELETE ON audit_checkpoint
  FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_checkpoint_no_truncate BEFORE TRUNCATE ON audit_checkpoint
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_append_only();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();
-- Personal data is erased or stays as it was.
-- +goose StatementBegin
CREATE FUNCTION audit_personal_no_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_personal may be erased, not changed';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_personal_no_update BEFORE UPDATE ON audit_personal
  FOR EACH ROW EXECUTE FUNCTION audit_personal_no_change();
