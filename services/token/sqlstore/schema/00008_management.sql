-- +goose Up

-- epoch is raised to end every token that a client got in its own name before.
ALTER TABLE clients ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- Where a session was begun from, and what the browser said of itself; for its person to recognize it.
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE sessions DROP COLUMN user_agent;
ALTER TABLE sessions DROP COLUMN address;
ALTER TABLE clients DROP COLUMN epoch;
