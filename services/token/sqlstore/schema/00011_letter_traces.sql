-- +goose Up

-- Where in a trace a letter was asked for (W3C traceparent); empty where there was none.
ALTER TABLE letters ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE letters DROP COLUMN traceparent;
