-- +goose Up

-- outbox holds what happened, written in the transaction that made it happen.
CREATE TABLE outbox (
    id           TEXT   NOT NULL PRIMARY KEY,
    type         TEXT   NOT NULL,
    subject      TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    time         BIGINT NOT NULL,
    data         TEXT   NOT NULL,
    published_at BIGINT,
    UNIQUE (subject, version)
);

CREATE INDEX outbox_unpublished ON outbox (version, id) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

-- outbox_relay is one row: who publishes now, and the last position given to an event in the stream.
CREATE TABLE outbox_relay (
    id          BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    holder      TEXT   NOT NULL,
    lease_until BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    sequence    BIGINT NOT NULL
);

INSERT INTO outbox_relay (id, holder, lease_until, epoch, sequence) VALUES (1, '', 0, 0, 0);

-- +goose Down
DROP TABLE outbox_relay;
DROP TABLE outbox;
