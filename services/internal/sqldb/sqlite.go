package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"modernc.org/sqlite"
)

func openSQLite(ctx context.Context, path string) (*DB, error) {
	if !filepath.IsAbs(path) || strings.Contains(path, "?") {
		return nil, errors.New("SQLite database URL must be sqlite:///absolute/path/file.db, without parameters")
	}
	// Made here rather than by SQLite, so that only this user can read it; its -wal and -shm files take the same mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open SQLite database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open SQLite database: %w", err)
	}

	write, err := sqlitePool(path, 1, url.Values{"_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	// The writer comes first: it sets the journal mode that lets readers run beside it.
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open SQLite database %s: %w", path, oneLine(err)), write.Close())
	}
	// Each reader costs up to its page cache, 1 MiB.
	readers := max(2, min(4, runtime.GOMAXPROCS(0)))
	read, err := sqlitePool(path, readers, url.Values{"_query_only": {"1"}})
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &DB{
		engine: sqliteEngine{},
		write:  write, forWrite: newStatements(write),
		read: read, forRead: newStatements(read),
	}, nil
}

// sqlitePool prepares connections to the file at path. synchronous=FULL makes an acknowledged write survive a power cut,
// which WAL alone does not.
func sqlitePool(path string, size int, params url.Values) (*sql.DB, error) {
	params["_pragma"] = []string{"cache_size(-1024)", "temp_store(memory)", "journal_size_limit(4194304)"}
	params.Set("_busy_timeout", "5000")
	params.Set("_foreign_keys", "1")
	params.Set("_journal_mode", "WAL")
	params.Set("_synchronous", "FULL")
	params.Set("_dqs", "0")
	params.Set("_defensive", "1")
	params.Set("_error_rc", "1")
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: params.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open SQLite database %s: %w", path, err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}
