-- +goose Up

-- What OpenID Connect tells about a person besides name and e-mail address; empty is not known. address is a JSON object
-- of OpenID Connect Core, section 5.1.1.
ALTER TABLE users ADD COLUMN given_name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN family_name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN zoneinfo TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN phone_number TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN phone_number_verified BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN address TEXT NOT NULL DEFAULT '';

-- The claims that a client asked for one by one (OpenID Connect Core, section 5.5), separated by spaces.
ALTER TABLE grants ADD COLUMN userinfo_claims TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN id_token_claims TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE users DROP COLUMN given_name;
ALTER TABLE users DROP COLUMN family_name;
ALTER TABLE users DROP COLUMN locale;
ALTER TABLE users DROP COLUMN zoneinfo;
ALTER TABLE users DROP COLUMN phone_number;
ALTER TABLE users DROP COLUMN phone_number_verified;
ALTER TABLE users DROP COLUMN address;
ALTER TABLE grants DROP COLUMN userinfo_claims;
ALTER TABLE grants DROP COLUMN id_token_claims;
