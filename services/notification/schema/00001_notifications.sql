-- +goose Up

-- stream_position is how far each stream of events has been taken.
CREATE TABLE stream_position (
    stream   TEXT   NOT NULL PRIMARY KEY,
    epoch    BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);

-- notice is an event to tell people of. It is settled once it is known whom; due_time is when to find out next.
CREATE TABLE notice (
    event_id      TEXT    NOT NULL PRIMARY KEY,
    kind          TEXT    NOT NULL,
    time          BIGINT  NOT NULL,
    location_id   TEXT    NOT NULL,
    location_name TEXT    NOT NULL,
    alarm         TEXT    NOT NULL,
    mode          TEXT    NOT NULL,
    detail        TEXT    NOT NULL,
    actor_id      TEXT    NOT NULL,
    actor_name    TEXT    NOT NULL,
    settled       BOOLEAN NOT NULL,
    attempts      BIGINT  NOT NULL,
    due_time      BIGINT  NOT NULL
);

CREATE INDEX notice_due ON notice (due_time) WHERE NOT settled;
CREATE INDEX notice_time ON notice (time);

-- delivery is one message to one person over one channel. due_time is when to try next: while somebody tries, it is when
-- to believe that they died.
CREATE TABLE delivery (
    id          TEXT   NOT NULL PRIMARY KEY,
    event_id    TEXT   NOT NULL REFERENCES notice (event_id) ON DELETE CASCADE,
    user_id     TEXT   NOT NULL,
    channel     TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    address     TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    attempts    BIGINT NOT NULL,
    due_time    BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    sent_time   BIGINT NOT NULL,
    -- failure is what the last attempt failed with, for operators.
    failure     TEXT   NOT NULL,
    UNIQUE (event_id, user_id, channel)
);

CREATE INDEX delivery_due ON delivery (due_time) WHERE state = 'PENDING';
CREATE INDEX delivery_by_user ON delivery (user_id, id);

-- +goose Down
DROP TABLE delivery;
DROP TABLE notice;
DROP TABLE stream_position;
