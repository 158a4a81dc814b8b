-- +goose Up

-- audit_entries is only ever added to. details is a JSON object of strings; hash is SHA-256 in hexadecimal.
CREATE TABLE audit_entries (
    number     BIGINT NOT NULL PRIMARY KEY,
    time       BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    client_id  TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    target     TEXT   NOT NULL,
    result     TEXT   NOT NULL,
    address    TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    details    TEXT   NOT NULL,
    hash       TEXT   NOT NULL
);
CREATE INDEX audit_entries_actor ON audit_entries (actor, number);
CREATE INDEX audit_entries_target ON audit_entries (target, number);
CREATE INDEX audit_entries_action ON audit_entries (action, number);

-- audit_head has one row. Whoever adds an entry moves number in the same transaction and so holds the row until the
-- commit: numbers are in commit order and have no gaps.
CREATE TABLE audit_head (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
);

INSERT INTO audit_head (id, number) VALUES (1, 0);

-- +goose Down
DROP TABLE audit_head;
DROP TABLE audit_entries;
