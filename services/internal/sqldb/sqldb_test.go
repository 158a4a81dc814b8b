package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

var schema = fstest.MapFS{"schema/00001_start.sql": {Data: []byte(`-- +goose Up
CREATE TABLE owners (
    id    TEXT PRIMARY KEY,
    seats BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE things (
    id       TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL REFERENCES owners (id),
    name     TEXT NOT NULL,
    closed   BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE (owner_id, name)
);
CREATE UNIQUE INDEX things_name_key ON things (name) WHERE closed;
CREATE UNIQUE INDEX owners_loud ON owners (upper(id));
`)}}

// each runs test on both engines with a database that has the schema and one owner, "o".
func each(t *testing.T, test func(t *testing.T, db *sqldb.DB, open func() *sqldb.DB)) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		if err := sqldb.Migrate(t.Context(), db, "owners", schema); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, `INSERT INTO owners (id) VALUES ($1)`, "o")
		test(t, db, open)
	})
}

func mustExec(t *testing.T, q sqldb.Querier, query string, args ...any) {
	t.Helper()
	if _, err := q.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func number(t *testing.T, q sqldb.Querier, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := q.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestParametersAreNumberedNotPositional(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		mustExec(t, db, `INSERT INTO things (name, owner_id, id) VALUES ($3, $2, $1)`, "t1", "o", "costs $2")
		var id, name string
		query := `SELECT id, name FROM things WHERE owner_id = $2 AND (name = $1 OR name = $1 || '$2')`
		if err := db.QueryRow(t.Context(), query, "costs $2", "o").Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		if id != "t1" || name != "costs $2" {
			t.Errorf("got id %q, name %q", id, name)
		}
	})
}

func TestExecCountsRowsAndReturningReturnsThem(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		n, err := db.Exec(t.Context(), `UPDATE owners SET seats = seats + 1 WHERE id = $1 AND seats = $2`, "o", 0)
		if n != 1 || err != nil {
			t.Errorf("conditional update that holds: %d rows, %v", n, err)
		}
		n, err = db.Exec(t.Context(), `UPDATE owners SET seats = seats + 1 WHERE id = $1 AND seats = $2`, "o", 0)
		if n != 0 || err != nil {
			t.Errorf("conditional update that does not: %d rows, %v", n, err)
		}
		if n := number(t, db, `UPDATE owners SET seats = 7 WHERE id = $1 RETURNING seats`, "o"); n != 7 {
			t.Errorf("RETURNING returned %d", n)
		}
		withQuery := `WITH o AS (SELECT id FROM owners) UPDATE owners SET seats = 8 WHERE id IN (SELECT id FROM o) RETURNING seats`
		if n := number(t, db, withQuery); n != 8 {
			t.Errorf("WITH ... RETURNING returned %d", n)
		}
		if n := number(t, db, `WITH o AS (SELECT seats FROM owners) SELECT seats FROM o`); n != 8 {
			t.Errorf("after the updates there are %d seats", n)
		}
		err = db.QueryRow(t.Context(), `SELECT seats FROM owners WHERE id = $1`, "nobody").Scan(&n)
		if !errors.Is(err, sqldb.ErrNoRows) {
			t.Errorf("no row: %v", err)
		}
	})
}

func TestConstraintsAreNamedAlikeOnBothEngines(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		const insert = `INSERT INTO things (id, owner_id, name, closed) VALUES ($1, $2, $3, $4)`
		mustExec(t, db, insert, "t1", "o", "one", true)
		mustExec(t, db, `INSERT INTO owners (id) VALUES ('p')`)

		for _, test := range []struct {
			name       string
			query      string
			args       []any
			unique     string
			foreignKey bool
		}{
			{"primary key", insert, []any{"t1", "o", "two", false}, "things_pkey", false},
			{"unique constraint", insert, []any{"t2", "o", "one", false}, "things_owner_id_name_key", false},
			{"partial unique index", insert, []any{"t3", "p", "one", true}, "things_name_key", false},
			{"index over an expression", `INSERT INTO owners (id) VALUES ($1)`, []any{"O"}, "owners_loud", false},
			{"reference to nothing", insert, []any{"t4", "nobody", "x", false}, "", true},
			{"row that is referred to", `DELETE FROM owners WHERE id = $1`, []any{"o"}, "", true},
		} {
			t.Run(test.name, func(t *testing.T) {
				_, err := db.Exec(t.Context(), test.query, test.args...)
				if err == nil {
					t.Fatal("accepted")
				}
				if got := sqldb.IsUnique(err); got != (test.unique != "") {
					t.Errorf("IsUnique = %v for %v", got, err)
				}
				if test.unique != "" && !sqldb.IsUnique(err, "another_key", test.unique) {
					t.Errorf("IsUnique(%q) = false for %v", test.unique, err)
				}
				if sqldb.IsUnique(err, "another_key") {
					t.Errorf("IsUnique of another constraint for %v", err)
				}
				if got := sqldb.IsForeignKey(err); got != test.foreignKey {
					t.Errorf("IsForeignKey = %v for %v", got, err)
				}
				if sqldb.IsUnavailable(err) {
					t.Errorf("IsUnavailable for %v", err)
				}
			})
		}
		if n := number(t, db, `SELECT count(*) FROM things`); n != 1 {
			t.Errorf("refused statements left %d things, want 1", n)
		}
	})
}

// Statements are kept prepared: that must not show.
func TestOneTextRunsWhileItsRowsAreOpen(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		mustExec(t, db, `INSERT INTO owners (id, seats) VALUES ('p', 1), ('q', 2)`)
		const query = `SELECT seats FROM owners WHERE seats >= $1 ORDER BY seats`
		for range 3 {
			var got []int64
			rows, err := db.Query(t.Context(), query, 0)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var n int64
				if err := rows.Scan(&n); err != nil {
					t.Fatal(err)
				}
				got = append(got, n*10+number(t, db, query, 2))
			}
			if want := []int64{2, 12, 22}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

func TestManyTextsAndAChangedSchema(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		for i := range 300 {
			if n := number(t, db, fmt.Sprintf(`SELECT %d + $1`, i), 1); n != int64(i+1) {
				t.Fatalf("text %d returned %d", i, n)
			}
		}
		const insert = `INSERT INTO owners (id) VALUES ($1)`
		for i := range 3 {
			if err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), insert, fmt.Sprint("x", i))
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, db, `ALTER TABLE owners ADD COLUMN note TEXT NOT NULL DEFAULT 'none'`)
		mustExec(t, db, insert, "y")
		if n := number(t, db, `SELECT count(*) FROM owners WHERE note = $1`, "none"); n != 5 {
			t.Errorf("%d owners, want 5", n)
		}
	})
}

func TestTxIsAllOrNothing(t *testing.T) {
	failure := errors.New("changed my mind")
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
			mustExec(t, tx, `UPDATE owners SET seats = 1 WHERE id = 'o'`)
			if n := number(t, tx, `SELECT seats FROM owners WHERE id = 'o'`); n != 1 {
				t.Errorf("the transaction does not see its own write: %d", n)
			}
			if n := number(t, db, `SELECT seats FROM owners WHERE id = 'o'`); n != 0 {
				t.Errorf("others see an uncommitted write: %d", n)
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("Tx returned %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.Tx(t.Context(), func(tx sqldb.Tx) error {
				mustExec(t, tx, `UPDATE owners SET seats = 2 WHERE id = 'o'`)
				panic("in the middle")
			})
		}()
		if n := number(t, db, `SELECT seats FROM owners WHERE id = 'o'`); n != 0 {
			t.Errorf("an undone transaction left %d seats", n)
		}
		if err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
			mustExec(t, tx, `UPDATE owners SET seats = 3 WHERE id = 'o'`)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, `SELECT seats FROM owners WHERE id = 'o'`); n != 3 {
			t.Errorf("after a commit there are %d seats, want 3", n)
		}
	})
}

// Reading, deciding and writing is where transactions that are not serializable lose updates.
func TestConcurrentTransactionsBehaveAsIfOneAfterTheOther(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, open func() *sqldb.DB) {
		replicas := []*sqldb.DB{db, open()}
		const writers, rounds = 16, 4
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for range rounds {
					err := replicas[w%2].Tx(t.Context(), func(tx sqldb.Tx) error {
						var seats int64
						if err := tx.QueryRow(t.Context(), `SELECT seats FROM owners WHERE id = 'o'`).Scan(&seats); err != nil {
							return err
						}
						_, err := tx.Exec(t.Context(), `UPDATE owners SET seats = $1 WHERE id = 'o'`, seats+1)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if n := number(t, db, `SELECT seats FROM owners WHERE id = 'o'`); n != writers*rounds {
			t.Errorf("%d increments counted to %d", writers*rounds, n)
		}
	})
}

func TestMigrateOnceByReplicasThatStartTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		replicas := []*sqldb.DB{open(), open(), open(), open()}
		start := make(chan struct{})
		var group sync.WaitGroup
		for _, db := range replicas {
			group.Go(func() {
				<-start
				if err := sqldb.Migrate(t.Context(), db, "owners", schema); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
		mustExec(t, replicas[0], `INSERT INTO owners (id) VALUES ('o')`)
		if err := sqldb.Migrate(t.Context(), replicas[1], "owners", schema); err != nil {
			t.Fatal("migrating again: ", err)
		}
		if n := number(t, replicas[1], `SELECT count(*) FROM owners`); n != 1 {
			t.Errorf("%d owners are left, want 1", n)
		}
	})
}

func TestMigrateThatFailsChangesNothing(t *testing.T) {
	broken := fstest.MapFS{"schema/00001_start.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id TEXT);\nCREATE TABLE b (id NOSUCH,);")}}
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		err := sqldb.Migrate(t.Context(), db, "owners", broken)
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Fatalf("want an error of one line, got %v", err)
		}
		if _, err := db.Exec(t.Context(), `CREATE TABLE a (id TEXT)`); err != nil {
			t.Error("the first statement of the failed migration stays: ", err)
		}
	})
}

func TestOpenSaysWhichDatabaseAndWhyInOneLine(t *testing.T) {
	folder := t.TempDir()
	notADatabase := filepath.Join(folder, "text.db")
	if err := os.WriteFile(notADatabase, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, url, want string }{
		{"a folder that is missing", "sqlite://" + folder + "/missing/x.db", "missing/x.db: no such file"},
		{"a file that is none", "sqlite://" + notADatabase, "text.db: file is not a database"},
		{"a relative path", "sqlite://x.db", "sqlite:///absolute/path"},
		{"parameters for SQLite", "sqlite:///x.db?mode=ro", "without parameters"},
		{"an unknown scheme", "mysql://u:secret@localhost/x", "sqlite:// or postgres://"},
		{"nothing", "", "sqlite:// or postgres://"},
		{"a URL that is none", "postgres://user:secret@host:port/x", "malformed"},
		{"nobody listening", "postgres://user:secret@127.0.0.1:1/guard?sslmode=disable", "guard at 127.0.0.1:1 as user: "},
		{"a bad schema", "postgres://user:secret@127.0.0.1:1/guard?schema=Guard-1", "schema"},
		{"malformed parameters", "postgres://user:secret@127.0.0.1:1/guard?schema=a;drop", "parameters"},
		{"a bad pool size", "postgres://user:secret@127.0.0.1:1/guard?pool_max_conns=0", "pool_max_conns"},
		{"a bad parameter", "postgres://user:secret@127.0.0.1:1/guard?sslmode=perhaps", "sslmode"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, err := sqldb.Open(t.Context(), test.url)
			if err == nil {
				_ = db.Close()
				t.Fatal("opened")
			}
			if text := err.Error(); !strings.Contains(text, test.want) || strings.Contains(text, "\n") || strings.Contains(text, "secret") {
				t.Errorf("error is %q, want one line with %q and without the password", text, test.want)
			}
		})
	}
}

func TestAStoppedDatabaseIsUnavailable(t *testing.T) {
	_, err := sqldb.Open(t.Context(), "postgres://user@127.0.0.1:1/guard")
	if !sqldb.IsUnavailable(err) {
		t.Errorf("nobody listening is not unavailable: %v", err)
	}
	for _, err := range []error{nil, errors.New("x"), context.Canceled, sqldb.ErrNoRows} {
		if sqldb.IsUnavailable(err) {
			t.Errorf("%v is unavailable", err)
		}
	}
}

func TestADatabaseThatGoesIsUnavailableUntilItComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	outage := storetest.NewOutage(t)
	db, err := sqldb.Open(t.Context(), outage.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqldb.Migrate(t.Context(), db, "owners", schema); err != nil {
		t.Fatal(err)
	}
	insert := func(tx sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO owners (id) VALUES ('o')`)
		return err
	}
	err = db.Tx(t.Context(), func(tx sqldb.Tx) error {
		if err := insert(tx); err != nil {
			t.Fatal(err)
		}
		outage.Set(true)
		return nil
	})
	if !sqldb.IsUnavailable(err) {
		t.Errorf("a commit that did not arrive: %v", err)
	}
	for range 3 {
		if _, err := db.Exec(t.Context(), `DELETE FROM owners`); !sqldb.IsUnavailable(err) {
			t.Errorf("a statement: %v", err)
		}
		if err := db.Tx(t.Context(), insert); !sqldb.IsUnavailable(err) {
			t.Errorf("a transaction: %v", err)
		}
		if err := db.Ping(t.Context()); !sqldb.IsUnavailable(err) {
			t.Errorf("Ping: %v", err)
		}
	}
	outage.Set(false)
	if n := number(t, db, `SELECT count(*) FROM owners`); n != 0 {
		t.Errorf("%d rows of transactions that failed", n)
	}
	if err := db.Tx(t.Context(), insert); err != nil {
		t.Error(err)
	}
}

func TestSQLiteFilesAreReadableByTheirOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd #name%20.db")
	db, err := sqldb.Open(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	mustExec(t, db, `CREATE TABLE t (id TEXT)`)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", info.Name(), info.Mode())
		}
	}
}

func TestTimesAreStoredInMicroseconds(t *testing.T) {
	for _, at := range []time.Time{{}, time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := sqldb.Time(sqldb.Micros(at)); !got.Equal(at) {
			t.Errorf("%v came back as %v", at, got)
		}
	}
}
