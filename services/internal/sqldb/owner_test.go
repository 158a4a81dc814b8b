package sqldb_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

func TestADatabaseBelongsToOneService(t *testing.T) {
	other := fstest.MapFS{
		"schema/00001_start.sql": {Data: []byte("-- +goose Up\nCREATE TABLE others (id TEXT);")},
		"schema/00002_more.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE more (id TEXT);")},
	}
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		if err := sqldb.CheckOwner(t.Context(), db, "token"); err == nil || !strings.Contains(err.Error(), "never migrated") {
			t.Errorf("before the first migration: %v", err)
		}
		if err := sqldb.Migrate(t.Context(), db, "token", schema); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"migrating":            sqldb.Migrate(t.Context(), open(), "customer", other),
			"running as it stands": sqldb.CheckOwner(t.Context(), open(), "customer"),
		} {
			if err == nil || !strings.Contains(err.Error(), "belongs to the token service; give customer one of its own") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s as another service: %v", name, err)
			}
		}
		if _, err := db.Exec(t.Context(), `SELECT count(*) FROM more`); err == nil {
			t.Error("a refused migration made a table")
		}
		if err := sqldb.CheckOwner(t.Context(), db, "token"); err != nil {
			t.Error("its own service: ", err)
		}
	})
}

func TestARoleWithoutRightsIsToldWhatItLacks(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	address := storetest.PostgresURL(t)
	admin, err := sqldb.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := u.Query().Get("schema")
	params := u.Query()
	params.Set("user", "clerk_"+name)
	u.RawQuery = params.Encode()
	mustExec(t, admin, `CREATE ROLE clerk_`+name+` LOGIN`)
	defer mustExec(t, admin, `DROP ROLE clerk_`+name)
	defer mustExec(t, admin, `DROP OWNED BY clerk_`+name)

	refused := func(what string) {
		t.Helper()
		db, err := sqldb.Open(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = sqldb.Migrate(t.Context(), db, "customer", schema)
		if err == nil || !strings.Contains(err.Error(), "lacks rights in the schema "+name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a role that may not enter the schema")
	mustExec(t, admin, `GRANT USAGE ON SCHEMA `+name+` TO clerk_`+name)
	refused("a role that may not make tables")
	if err := sqldb.Migrate(t.Context(), admin, "customer", schema); err != nil {
		t.Fatal(err)
	}
	refused("a role that may not read the tables")
	mustExec(t, admin, `GRANT SELECT ON schema_owner TO clerk_`+name)
	refused("a role that may read whose they are, and no more")
}
