-- +goose Up

-- Where in a trace the change was made that a notice tells of (W3C traceparent); empty where there was none.
ALTER TABLE notice ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE notice DROP COLUMN traceparent;
