package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const defaultPoolSize = 16

// schemaName is what needs no quoting in PostgreSQL, whose limit is 63 bytes.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func openPostgres(ctx context.Context, rawURL string) (*DB, error) {
	config, schema, size, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size) // one that is opened anew costs more than most statements
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(30 * time.Minute)

	db := &DB{engine: postgresEngine{}, write: pool, read: pool, schema: schema}
	if err := db.prepareSchema(ctx); err != nil {
		where := fmt.Sprintf("%s at %s:%d as %s", config.Database, config.Host, config.Port, config.User)
		return nil, errors.Join(fmt.Errorf("open PostgreSQL database %s: %w", where, oneLine(err)), pool.Close())
	}
	return db, nil
}

// parsePostgres reads a URL, with the parameters that are ours: the schema, and how many connections there may be.
func parsePostgres(rawURL string) (config *pgx.ConnConfig, schema string, size int, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's error would repeat the URL, with its password.
		return nil, "", 0, errors.New("PostgreSQL database URL is malformed")
	}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, "", 0, errors.New("parameters of the PostgreSQL database URL are malformed")
	}
	schema = params.Get("schema")
	if schema != "" && !schemaName.MatchString(schema) {
		return nil, "", 0, fmt.Errorf("PostgreSQL schema %q must be lower-case letters, digits and underscores", schema)
	}
	if size, err = poolSize(params.Get("pool_max_conns")); err != nil {
		return nil, "", 0, err
	}
	params.Del("schema")
	params.Del("pool_max_conns")
	bare := *u
	bare.RawQuery = params.Encode()
	if config, err = pgx.ParseConfig(bare.String()); err != nil {
		return nil, "", 0, fmt.Errorf("PostgreSQL database URL: %w", oneLine(err))
	}
	if schema != "" {
		config.RuntimeParams["search_path"] = schema
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	return config, schema, size, nil
}

func poolSize(text string) (int, error) {
	if text == "" {
		return defaultPoolSize, nil
	}
	size, err := strconv.Atoi(text)
	if err != nil || size < 1 {
		return 0, fmt.Errorf("pool_max_conns of the database URL is %q, want a positive number", text)
	}
	return size, nil
}

// prepareSchema makes the schema unless it is there, which a role without the right to make one may rely on.
func (db *DB) prepareSchema(ctx context.Context) error {
	if err := db.write.PingContext(ctx); err != nil {
		return err
	}
	if db.schema == "" {
		return nil
	}
	const find = `SELECT nspname FROM pg_namespace WHERE nspname = $1`
	var found string
	err := db.write.QueryRowContext(ctx, find, db.schema).Scan(&found)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	// Two replicas may start together: whoever is second finds the first one's.
	if _, err := db.write.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+db.schema); err != nil && !IsUnique(err) {
		return fmt.Errorf("create schema %s: %w", db.schema, err)
	}
	return nil
}
