-- +goose Up

-- federated_identities says which account somebody at another provider is. A subject is one person's within its issuer
-- alone, and an account is one person's at each issuer.
CREATE TABLE federated_identities (
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES users (id),
    -- email is what the provider called the person when the two were linked, for that person to recognize.
    email        TEXT NOT NULL,
    linked_at    BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE UNIQUE INDEX federated_identities_user ON federated_identities (user_id, issuer);

-- methods are how the person proved who they are (RFC 8176), separated by spaces; empty: another provider said so.
ALTER TABLE sessions ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';
ALTER TABLE grants ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';

-- +goose Down

ALTER TABLE grants DROP COLUMN methods;
ALTER TABLE sessions DROP COLUMN methods;
DROP TABLE federated_identities;
