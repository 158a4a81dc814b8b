-- +goose Up

-- epoch is raised to end every token that a client got in its own name before.
ALTER TABLE clients ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- Where a session was begun from, and what the browser said of itself; for its person to recognize it.
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';

-- revoked_at is when a consent was last taken back; 0 is never. What was allowed before is not redeemed any more.
ALTER TABLE consents ADD COLUMN revoked_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE consents DROP COLUMN revoked_at;

ALTER TABLE sessions DROP COLUMN user_agent;
ALTER TABLE sessions DROP COLUMN address;
ALTER TABLE clients DROP COLUMN epoch;
