// Package storetest runs a test against every store that the product supports: SQLite and PostgreSQL, and the embedded
// Redis-protocol server and Redis. It starts servers of its own and leaves nothing of them behind, however the test
// process ends. With -short only the embedded stores are tested, and nothing needs to be installed.
//
// What the stores have to promise is left to the tests it runs.
package storetest

import (
	"context"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Each runs test on SQLite and on PostgreSQL as subtests. Every call of open opens the one database of that subtest, empty
// at first, as another process would, and closes it when the subtest ends.
func Each(t *testing.T, test func(t *testing.T, open func() *sqldb.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		url := "sqlite://" + filepath.Join(t.TempDir(), "test.db")
		test(t, opener(t, url))
	})
	eachPostgres(t, test)
}

func eachPostgres(t *testing.T, test func(t *testing.T, open func() *sqldb.DB)) {
	if testing.Short() {
		return
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		test(t, opener(t, PostgresURL(t)))
	})
}

// SQLite opens an empty SQLite database, for tests that are not about the store.
func SQLite(t *testing.T) *sqldb.DB {
	return opener(t, "sqlite://"+filepath.Join(t.TempDir(), "test.db"))()
}

func opener(t *testing.T, url string) func() *sqldb.DB {
	return func() *sqldb.DB {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		db, err := sqldb.Open(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
}

var schemas atomic.Int64

// PostgresURL returns the URL of an empty schema of a PostgreSQL server that this test process shares.
func PostgresURL(t *testing.T) string {
	t.Helper()
	cluster, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	return cluster.url(nextSchema())
}

func nextSchema() string { return "test_" + strconv.FormatInt(schemas.Add(1), 10) }

// EachRedis runs test on the embedded server and on Redis as subtests. addr is the host:port of an empty server of the
// subtest's own.
func EachRedis(t *testing.T, test func(t *testing.T, addr string)) {
	t.Run("embedded", func(t *testing.T) {
		test(t, embeddedRedis(t))
	})
	if testing.Short() {
		return
	}
	t.Run("Redis", func(t *testing.T) {
		server, err := startRedis()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.stop)
		test(t, server.addr)
	})
}

// embeddedRedis starts a server in this process whose keys expire as time passes, which it does not do by itself.
func embeddedRedis(t *testing.T) string {
	server := miniredis.RunT(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				server.FastForward(now.Sub(last))
				last = now
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return server.Addr()
}
