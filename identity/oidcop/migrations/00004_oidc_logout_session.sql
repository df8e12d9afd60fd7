-- +goose Up
-- Who ends a session is shown what its relying parties were told.
CREATE INDEX oidc_logout_session ON oidc_logout (session);
