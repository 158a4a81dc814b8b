-- +goose Up

-- previous_secret_hash is the secret before the last rotation, good until previous_secret_until; secret_prefix is what may
-- be shown of the secret. expires_at is 0 for a client that does not end by itself, last_used_at 0 for one never used.
ALTER TABLE clients ADD COLUMN previous_secret_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN previous_secret_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN secret_prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;
-- jwks is a JWK Set; not empty for a client that authenticates by private_key_jwt.
ALTER TABLE clients ADD COLUMN jwks TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN opaque_tokens BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN refresh_token_lifetime BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN id_token_lifetime BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN pkce_optional BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN require_pushed_requests BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN backchannel_logout_uri TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE clients DROP COLUMN previous_secret_hash;
ALTER TABLE clients DROP COLUMN previous_secret_until;
ALTER TABLE clients DROP COLUMN secret_prefix;
ALTER TABLE clients DROP COLUMN expires_at;
ALTER TABLE clients DROP COLUMN last_used_at;
ALTER TABLE clients DROP COLUMN jwks;
ALTER TABLE clients DROP COLUMN opaque_tokens;
ALTER TABLE clients DROP COLUMN refresh_token_lifetime;
ALTER TABLE clients DROP COLUMN id_token_lifetime;
ALTER TABLE clients DROP COLUMN pkce_optional;
ALTER TABLE clients DROP COLUMN require_pushed_requests;
ALTER TABLE clients DROP COLUMN backchannel_logout_uri;
