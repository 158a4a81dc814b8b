// Package database opens a service's database for the program that puts the services together. What is in it, and every
// statement, is the service's own.
package database

import (
	"context"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// DB is an open database. It is good for being handed to a service, pinged and closed.
type DB = sqldb.DB

// Open opens the database that url names: sqlite:///absolute/path/file.db or postgres://... An error is one line that
// names the database, never its password.
func Open(ctx context.Context, url string) (*DB, error) { return sqldb.Open(ctx, url) }

// CheckOwner tells whether db was migrated, and for this service. It writes nothing.
func CheckOwner(ctx context.Context, db *DB, service string) error {
	return sqldb.CheckOwner(ctx, db, service)
}
