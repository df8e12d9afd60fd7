-- +goose Up
-- Which registry has a relying party's id: issuer is the protocol that it is answered in. It comes after both registries' tables, because it takes in
-- who was registered before it.
CREATE TABLE entrance (
  id     TEXT PRIMARY KEY NOT NULL,
  issuer TEXT NOT NULL
);
INSERT INTO entrance (id, issuer) SELECT id, 'oidc' FROM oidc_party;
