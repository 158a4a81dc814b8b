-- +goose Up

-- security_system is the present state of each system. version counts its changes; every change is one conditional
-- update on it.
CREATE TABLE security_system (
    id                   TEXT    NOT NULL PRIMARY KEY,
    customer_id          TEXT    NOT NULL,
    location_id          TEXT    NOT NULL UNIQUE,
    location_name        TEXT    NOT NULL,
    state                TEXT    NOT NULL,
    mode                 TEXT    NOT NULL,
    alarm                TEXT    NOT NULL,
    acknowledged         BOOLEAN NOT NULL,
    faults               TEXT    NOT NULL,
    panel_client_id      TEXT    UNIQUE,
    version              BIGINT  NOT NULL,
    create_time          BIGINT  NOT NULL,
    update_time          BIGINT  NOT NULL,
    updated_by_id        TEXT    NOT NULL,
    updated_by_name      TEXT    NOT NULL,
    updated_by_client_id TEXT    NOT NULL
);

-- Lists are in the order of location_name: of everything, of some customers, or of some locations.
CREATE INDEX security_system_by_name ON security_system (location_name, id);
CREATE INDEX security_system_by_customer ON security_system (customer_id, location_name, id);

-- security_system_event is what happened, one row per version of a system. Rows are never changed, and outlive the system.
CREATE TABLE security_system_event (
    system_id       TEXT   NOT NULL,
    version         BIGINT NOT NULL,
    id              TEXT   NOT NULL UNIQUE,
    type            TEXT   NOT NULL,
    time            BIGINT NOT NULL,
    actor_id        TEXT   NOT NULL,
    actor_name      TEXT   NOT NULL,
    actor_client_id TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    mode            TEXT   NOT NULL,
    alarm           TEXT   NOT NULL,
    faults          TEXT   NOT NULL,
    detail          TEXT   NOT NULL,
    report_id       TEXT   NOT NULL,
    PRIMARY KEY (system_id, version)
);

-- A panel's report acts once.
CREATE UNIQUE INDEX security_system_event_actor_id_report_id_key
    ON security_system_event (actor_id, report_id) WHERE report_id <> '';

-- retired_panel holds credentials that belong to no system any more, until the identity provider has ended them.
CREATE TABLE retired_panel (
    client_id TEXT   NOT NULL PRIMARY KEY,
    due_time  BIGINT NOT NULL,
    attempts  BIGINT NOT NULL
);

CREATE INDEX retired_panel_due ON retired_panel (due_time);

-- +goose Down
DROP TABLE retired_panel;
DROP TABLE security_system_event;
DROP TABLE security_system;
