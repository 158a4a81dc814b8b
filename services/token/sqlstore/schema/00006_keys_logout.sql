-- +goose Up

-- A key is published from created_at on. activated_at is when it began to sign, retired_at when it ceased to sign or to be
-- trusted; 0 is never.
ALTER TABLE signing_keys ADD COLUMN activated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
UPDATE signing_keys SET activated_at = created_at;
-- One key of an algorithm waits to be the next: it also decides between replicas that make one at once.
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (alg) WHERE status = 'next';

-- session_clients are the clients that a login session was opened in.
CREATE TABLE session_clients (
    session_id TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    PRIMARY KEY (session_id, client_id)
);

-- logout_deliveries are the clients that have still to be told that a session has ended (OpenID Connect Back-Channel
-- Logout). due_at is when to try next; while a replica tries, it is when another one may take over. attempts counts the
-- tries begun, and so tells the replica which try is its own.
CREATE TABLE logout_deliveries (
    session_id TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (session_id, client_id)
);
CREATE INDEX logout_deliveries_due ON logout_deliveries (due_at);
CREATE INDEX logout_deliveries_client ON logout_deliveries (client_id);

-- +goose Down

DROP TABLE logout_deliveries;
DROP TABLE session_clients;
DROP INDEX signing_keys_next;
DELETE FROM signing_keys WHERE status IN ('next', 'revoked');
ALTER TABLE signing_keys DROP COLUMN retired_at;
ALTER TABLE signing_keys DROP COLUMN activated_at;
