package storetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Databases are those of [Each] and [SQLite], except that the SQLite ones are copies of one that has been migrated:
// migrating takes a hundred times as long as finding that there is nothing to migrate, which services still do.
// PostgreSQL's are empty.
type Databases struct{ file func() ([]byte, error) }

// Migrated returns databases after migrate, which is run once for the process.
func Migrated(migrate func(context.Context, *sqldb.DB) error) Databases {
	return Databases{sync.OnceValues(func() ([]byte, error) { return migrated(migrate) })}
}

func migrated(migrate func(context.Context, *sqldb.DB) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "migrated")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, ctx := filepath.Join(dir, "test.db"), context.Background()
	db, err := sqldb.Open(ctx, "sqlite://"+path)
	if err != nil {
		return nil, err
	}
	// Who closes last moves everything into the one file.
	if err := errors.Join(migrate(ctx, db), db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Each is [Each] on these databases.
func (d Databases) Each(t *testing.T, test func(t *testing.T, open func() *sqldb.DB)) {
	t.Run("SQLite", func(t *testing.T) { test(t, opener(t, d.SQLiteURL(t))) })
	eachPostgres(t, test)
}

// SQLite opens such a database, for tests that are not about the store.
func (d Databases) SQLite(t *testing.T) *sqldb.DB { return opener(t, d.SQLiteURL(t))() }

// SQLiteURL returns the URL of such a database.
func (d Databases) SQLiteURL(t *testing.T) string {
	t.Helper()
	content, err := d.file()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite://" + path
}
