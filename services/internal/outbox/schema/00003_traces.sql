-- +goose Up

-- Where in a trace the change was made that an event tells of (W3C traceparent); empty where there was none.
ALTER TABLE outbox ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE outbox DROP COLUMN traceparent;
