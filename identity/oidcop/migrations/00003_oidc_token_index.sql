-- +goose Up
-- No statement looks tokens up by their grant: ending a grant ends them without touching them. The index cost a page at each token.
DROP INDEX oidc_token_grant;
