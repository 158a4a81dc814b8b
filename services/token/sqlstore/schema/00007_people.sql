-- +goose Up

-- user_epoch is the person's epoch when the session was begun; when that is raised, a session that is not moved along is over.
ALTER TABLE sessions ADD COLUMN user_epoch BIGINT NOT NULL DEFAULT 0;
CREATE INDEX grants_by_user ON grants (user_id);

-- +goose Down

DROP INDEX grants_by_user;
ALTER TABLE sessions DROP COLUMN user_epoch;
