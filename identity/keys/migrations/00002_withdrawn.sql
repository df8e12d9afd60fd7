-- +goose Up
-- A key that was lost or stolen is published no more from the moment of its rotation: verifiers must stop believing it. 0 for none.
ALTER TABLE signing_key ADD COLUMN withdrawn_at BIGINT NOT NULL DEFAULT 0;
