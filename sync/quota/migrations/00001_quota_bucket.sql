-- +goose Up
CREATE TABLE quota_bucket (
    class           TEXT   NOT NULL PRIMARY KEY,
    tokens          BIGINT NOT NULL, -- millionths of a token
    updated_at      BIGINT NOT NULL, -- UTC, microseconds: when tokens was true
    throttled_until BIGINT NOT NULL  -- UTC, microseconds: nothing is given before; 0 if the vendor didn't complain
);

-- +goose Down
DROP TABLE quota_bucket;
