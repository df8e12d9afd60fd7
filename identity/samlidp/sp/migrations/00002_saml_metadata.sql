-- +goose Up
-- Metadata of providers: where it comes from and what came of it (source, status: JSON). Times are UTC in microseconds.
CREATE TABLE saml_metadata (
  party   TEXT PRIMARY KEY NOT NULL,
  source  TEXT NOT NULL,
  status  TEXT NOT NULL,
  next_at BIGINT NOT NULL -- 0: it isn't fetched
);
CREATE INDEX saml_metadata_next ON saml_metadata (next_at);

-- What a document would change. body is JSON. One of a provider is pending at most.
CREATE TABLE saml_proposal (
  party      TEXT NOT NULL,
  hash       TEXT NOT NULL,
  state      TEXT NOT NULL,
  body       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  decided_at BIGINT NOT NULL,
  decided_by TEXT NOT NULL,
  why        TEXT NOT NULL,
  PRIMARY KEY (party, hash)
);
CREATE UNIQUE INDEX saml_proposal_pending ON saml_proposal (party) WHERE state = 'pending';
