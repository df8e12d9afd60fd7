-- +goose Up
CREATE TABLE job_key (
    kind       TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    created_at BIGINT NOT NULL, -- UTC, microseconds; for a job of a later date, that date
    PRIMARY KEY (kind, key)
);

-- +goose Down
DROP TABLE job_key;
