-- +goose Up

-- audience is what tokens of the grant may be narrowed to (RFC 8707), separated by spaces; empty is the whole API.
ALTER TABLE grants ADD COLUMN audience TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE grants DROP COLUMN audience;
