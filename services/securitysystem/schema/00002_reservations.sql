-- +goose Up

-- reservation holds a location for a system that is being installed there. system_id is the id that it will have.
CREATE TABLE reservation (
    location_id TEXT   NOT NULL PRIMARY KEY,
    system_id   TEXT   NOT NULL,
    until_time  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE reservation;
