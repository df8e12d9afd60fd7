-- +goose Up
-- Who leads what. A holder raises beat at each renewal; fence rises whenever the lease changes hands and never falls.
CREATE TABLE sqldb_lease (
  name   TEXT PRIMARY KEY NOT NULL,
  holder TEXT NOT NULL,
  fence  BIGINT NOT NULL,
  beat   BIGINT NOT NULL
);
