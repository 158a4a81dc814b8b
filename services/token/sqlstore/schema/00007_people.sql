-- +goose Up

-- user_epoch is the person's epoch when the session was begun; when that is raised, a session that is not moved along is over.
ALTER TABLE sessions ADD COLUMN user_epoch BIGINT NOT NULL DEFAULT 0;
CREATE INDEX grants_by_user ON grants (user_id);

-- credentials is raised when the password or the address changes, or the account is disabled: links of before are over.
ALTER TABLE users ADD COLUMN credentials BIGINT NOT NULL DEFAULT 0;

-- tickets are in mails, and good for one thing once: redeeming one deletes it.
CREATE TABLE tickets (
    user_id     TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    -- hash is SHA-256 of the secret, which takes the nonce and a key that is not in this database.
    hash        TEXT NOT NULL UNIQUE,
    nonce       TEXT NOT NULL,
    email       TEXT NOT NULL,
    -- credentials is what users.credentials was when the link was made.
    credentials BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, purpose)
);
CREATE INDEX tickets_expiry ON tickets (expires_at);

-- letters are mails that are to be sent; one that was sent is deleted. due_at is when to try next: while somebody tries, it is
-- when to believe that they died.
CREATE TABLE letters (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    address    TEXT NOT NULL,
    ticket_hash TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    given_up   BOOLEAN NOT NULL,
    -- failure is what the last attempt failed with, for operators.
    failure    TEXT NOT NULL
);
CREATE INDEX letters_due ON letters (due_at) WHERE NOT given_up;
CREATE INDEX letters_age ON letters (created_at);

-- +goose Down

DROP TABLE letters;
DROP TABLE tickets;
ALTER TABLE users DROP COLUMN credentials;
DROP INDEX grants_by_user;
ALTER TABLE sessions DROP COLUMN user_epoch;
