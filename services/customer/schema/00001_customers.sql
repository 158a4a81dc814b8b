-- +goose Up
-- What belongs to a customer refers to what else belongs to it by (customer_id, id), so that no row can tie two
-- customers together. Times are microseconds; every row has its version and who made and last changed it.

CREATE TABLE customers (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    update_time BIGINT NOT NULL,
    updated_by  TEXT   NOT NULL
);
CREATE INDEX customers_by_name ON customers (name, id);

-- A customer that still has locations or API keys cannot be removed; the rest goes with it.
CREATE TABLE locations (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id),
    name        TEXT   NOT NULL,
    address     TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    update_time BIGINT NOT NULL,
    updated_by  TEXT   NOT NULL,
    UNIQUE (customer_id, id),
    UNIQUE (customer_id, name)
);
CREATE INDEX locations_in_order ON locations (customer_id, create_time, id);

CREATE TABLE employees (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    user_id     TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    email       TEXT   NOT NULL,
    -- The e-mail in the form in which two are compared.
    email_key   TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    update_time BIGINT NOT NULL,
    updated_by  TEXT   NOT NULL,
    UNIQUE (customer_id, id),
    UNIQUE (customer_id, email_key),
    UNIQUE (customer_id, user_id)
);
CREATE INDEX employees_in_order ON employees (customer_id, create_time, id);
CREATE INDEX employees_by_user ON employees (user_id);

CREATE TABLE teams (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    update_time BIGINT NOT NULL,
    updated_by  TEXT   NOT NULL,
    UNIQUE (customer_id, id),
    UNIQUE (customer_id, name)
);
CREATE INDEX teams_in_order ON teams (customer_id, create_time, id);

CREATE TABLE team_members (
    customer_id TEXT NOT NULL,
    team_id     TEXT NOT NULL,
    employee_id TEXT NOT NULL,
    PRIMARY KEY (team_id, employee_id),
    FOREIGN KEY (customer_id, team_id) REFERENCES teams (customer_id, id) ON DELETE CASCADE,
    FOREIGN KEY (customer_id, employee_id) REFERENCES employees (customer_id, id) ON DELETE CASCADE
);
CREATE INDEX team_members_by_employee ON team_members (employee_id);

-- Which keys of the identity provider are a customer's. It has the secret and the rest; a key that is not here has no
-- rights.
CREATE TABLE api_keys (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id),
    create_time BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    UNIQUE (customer_id, id)
);

CREATE TABLE grants (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    -- One of the three is the subject.
    employee_id TEXT,
    team_id     TEXT,
    api_key_id  TEXT,
    role        TEXT   NOT NULL CHECK (role IN
        ('COMPANY_ROLE_ADMIN', 'SECURITY_SYSTEM_ARMER', 'SECURITY_SYSTEM_DISARMER', 'SECURITY_SYSTEM_VIEWER')),
    -- NULL is every location of the customer.
    location_id TEXT,
    -- In force from start_time on and before end_time; 0 is without that bound.
    start_time  BIGINT NOT NULL,
    end_time    BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    update_time BIGINT NOT NULL,
    updated_by  TEXT   NOT NULL,
    CHECK ((employee_id IS NOT NULL AND team_id IS NULL AND api_key_id IS NULL)
        OR (employee_id IS NULL AND team_id IS NOT NULL AND api_key_id IS NULL)
        OR (employee_id IS NULL AND team_id IS NULL AND api_key_id IS NOT NULL)),
    CHECK (role <> 'COMPANY_ROLE_ADMIN' OR (employee_id IS NOT NULL AND location_id IS NULL)),
    FOREIGN KEY (customer_id, employee_id) REFERENCES employees (customer_id, id) ON DELETE CASCADE,
    FOREIGN KEY (customer_id, team_id) REFERENCES teams (customer_id, id) ON DELETE CASCADE,
    FOREIGN KEY (customer_id, api_key_id) REFERENCES api_keys (customer_id, id) ON DELETE CASCADE,
    FOREIGN KEY (customer_id, location_id) REFERENCES locations (customer_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX grants_once ON grants
    (customer_id, COALESCE(employee_id, team_id, api_key_id), role, COALESCE(location_id, ''));
CREATE INDEX grants_in_order ON grants (customer_id, create_time, id);
CREATE INDEX grants_by_employee ON grants (employee_id) WHERE employee_id IS NOT NULL;
CREATE INDEX grants_by_team ON grants (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX grants_by_api_key ON grants (api_key_id) WHERE api_key_id IS NOT NULL;
CREATE INDEX grants_by_location ON grants (customer_id, location_id);

-- Who holds which grant, directly or by a team. Whether it is in force is for the query to say, which knows the time.
CREATE VIEW held_grants AS
SELECT 'user' AS holder_kind, e.user_id AS holder, g.id AS grant_id, g.customer_id, g.location_id, g.role, g.team_id,
       g.start_time, g.end_time
FROM employees e
JOIN grants g ON g.employee_id = e.id
UNION ALL
SELECT 'user', e.user_id, g.id, g.customer_id, g.location_id, g.role, g.team_id, g.start_time, g.end_time
FROM employees e
JOIN team_members m ON m.employee_id = e.id
JOIN grants g ON g.team_id = m.team_id
UNION ALL
SELECT 'client', g.api_key_id, g.id, g.customer_id, g.location_id, g.role, g.team_id, g.start_time, g.end_time
FROM grants g
WHERE g.api_key_id IS NOT NULL;
