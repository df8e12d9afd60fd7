-- +goose Up
CREATE TABLE job_node (
    id      TEXT   NOT NULL PRIMARY KEY,
    beat    BIGINT NOT NULL, -- moves while the node lives
    seen_at BIGINT NOT NULL  -- UTC, microseconds, by the node's own clock; for whoever reads the table, compared with nothing
);

-- +goose Down
DROP TABLE job_node;
