-- +goose Up
-- Who did what. at is UTC in microseconds; seq stays NULL until the row is sequenced; org is empty for the whole workspace.
CREATE TABLE audit_row (
  id          TEXT PRIMARY KEY,
  seq         BIGINT UNIQUE,
  at          BIGINT NOT NULL,
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

-- +goose StatementBegin
CREATE FUNCTION audit_row_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_row is append-only';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_row_no_change BEFORE UPDATE OR DELETE ON audit_row
  FOR EACH ROW EXECUTE FUNCTION audit_row_append_only();
CREATE TRIGGER audit_row_no_truncate BEFORE TRUNCATE ON audit_row
  FOR EACH STATEMENT EXECUTE FUNCTION audit_row_append_only();
