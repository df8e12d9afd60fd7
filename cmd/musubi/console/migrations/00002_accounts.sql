-- +goose Up
-- Forms that give out a secret work once. token_sha256 is the SHA-256 of the form's token in hex; used_at is UTC in microseconds.

CREATE TABLE console_used (
  token_sha256 TEXT   NOT NULL PRIMARY KEY,
  used_at      BIGINT NOT NULL
);

-- +goose Down
DROP TABLE console_used;
