-- +goose Up

-- Until when a location is closed to new security systems because somebody is about to remove it; 0: it is not.
ALTER TABLE locations ADD COLUMN closing_until BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE locations DROP COLUMN closing_until;
