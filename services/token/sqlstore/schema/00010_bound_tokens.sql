-- +goose Up

-- tls_auth_by is how the certificate of a client is told that authenticates by mutual TLS, tls_auth_name what it must name;
-- empty for one that does not.
ALTER TABLE clients ADD COLUMN tls_auth_by TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN tls_auth_name TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN dpop_bound_tokens BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN certificate_bound_tokens BOOLEAN NOT NULL DEFAULT FALSE;

-- bound_to is the key that the refresh tokens of a grant are bound to, rotated_by the one that was proven by who got the current
-- one; empty for none. Both are what the token says, a colon and the digest: "jkt:..." or "x5t#S256:...".
ALTER TABLE grants ADD COLUMN bound_to TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN rotated_by TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE grants DROP COLUMN rotated_by;
ALTER TABLE grants DROP COLUMN bound_to;

ALTER TABLE clients DROP COLUMN certificate_bound_tokens;
ALTER TABLE clients DROP COLUMN dpop_bound_tokens;
ALTER TABLE clients DROP COLUMN tls_auth_name;
ALTER TABLE clients DROP COLUMN tls_auth_by;
