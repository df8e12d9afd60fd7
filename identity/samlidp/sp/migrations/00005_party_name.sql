-- +goose Up
-- The ids of relying parties of every protocol: an id is one party's. Both registries (this one and that of OpenID Connect) make the table and
-- keep their own rows in it, whichever is there first.
CREATE TABLE IF NOT EXISTS party_name (
  id       TEXT PRIMARY KEY NOT NULL,
  protocol TEXT NOT NULL
);
INSERT INTO party_name (id, protocol) SELECT id, 'saml' FROM saml_party WHERE true ON CONFLICT DO NOTHING;
