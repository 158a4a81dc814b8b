-- +goose Up

-- Lists (roles, grants, scopes, URIs) are separated by spaces: none of their elements can have one.

CREATE TABLE users (
    id             TEXT PRIMARY KEY,
    email          TEXT NOT NULL,
    -- email_key is what addresses are compared by.
    email_key      TEXT NOT NULL UNIQUE,
    email_verified BOOLEAN NOT NULL,
    name           TEXT NOT NULL,
    roles          TEXT NOT NULL,
    -- password_hash is a PHC string, or empty: no password admits.
    password_hash  TEXT NOT NULL,
    -- demo_password marks an account whose password is the published one of the demo.
    demo_password  BOOLEAN NOT NULL,
    epoch          BIGINT NOT NULL,
    disabled       BOOLEAN NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);

CREATE TABLE clients (
    id                    TEXT PRIMARY KEY,
    name                  TEXT NOT NULL,
    kind                  TEXT NOT NULL,
    owner                 TEXT NOT NULL,
    -- secret_hash is SHA-256 in hexadecimal, or empty for a public client.
    secret_hash           TEXT NOT NULL,
    public                BOOLEAN NOT NULL,
    grants                TEXT NOT NULL,
    redirect_uris         TEXT NOT NULL,
    post_logout_uris      TEXT NOT NULL,
    scopes                TEXT NOT NULL,
    first_party           BOOLEAN NOT NULL,
    access_token_lifetime BIGINT NOT NULL,
    access_alg            TEXT NOT NULL,
    id_alg                TEXT NOT NULL,
    created_at            BIGINT NOT NULL,
    disabled_at           BIGINT NOT NULL
);
CREATE INDEX clients_kind_owner ON clients (kind, owner, id);

-- sessions are browsers' logins. ended_at is 0 while one lives.
CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id),
    -- cookie_hash is SHA-256 of the cookie: reading the table signs nobody in.
    cookie_hash TEXT NOT NULL UNIQUE,
    auth_time   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- grants are refresh families. revoked_at is 0 while one lives. No foreign keys: the row of a replayed code may come
-- before the grant itself, and outlive its session.
CREATE TABLE grants (
    id         TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    session_id TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    auth_time  BIGINT NOT NULL,
    user_epoch BIGINT NOT NULL,
    secret     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_expiry ON grants (expires_at);

CREATE TABLE consents (
    user_id    TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

CREATE TABLE signing_keys (
    id         TEXT PRIMARY KEY,
    alg        TEXT NOT NULL,
    status     TEXT NOT NULL,
    -- sealed is the private half, encrypted by a key that is not in this database.
    sealed     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
-- One key signs at a time: it also decides between replicas that start together.
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (alg) WHERE status = 'active';

-- revocation_head has one row. Whoever adds a revocation moves head in the same transaction and so holds the row until
-- the commit: numbers are in commit order and have no gaps.
CREATE TABLE revocation_head (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL,
    head  BIGINT NOT NULL
);

CREATE TABLE revocations (
    number      BIGINT PRIMARY KEY,
    kind        BIGINT NOT NULL,
    value       TEXT NOT NULL,
    below_epoch BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX revocations_value ON revocations (value, kind);
CREATE INDEX revocations_expiry ON revocations (expires_at);
