-- +goose Up

-- watch_key holds the one key that the positions of those who watch are encrypted with, made by the first replica that needs it.
CREATE TABLE watch_key (
    id  BIGINT PRIMARY KEY CHECK (id = 1),
    key TEXT NOT NULL
);

-- +goose Down

DROP TABLE watch_key;
