-- +goose Up

-- Where a published event stands in the stream, so that it can be put there again. 0 for what was published before this
-- was recorded: it is not.
ALTER TABLE outbox ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;

CREATE INDEX outbox_by_position ON outbox (epoch, sequence) WHERE published_at IS NOT NULL;

-- +goose Down
DROP INDEX outbox_by_position;
ALTER TABLE outbox DROP COLUMN sequence;
ALTER TABLE outbox DROP COLUMN epoch;
