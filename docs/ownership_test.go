package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	comment    = regexp.MustCompile(`--[^\n]*`)
	created    = regexp.MustCompile(`CREATE (?:TABLE|VIEW) (\w+)`)
	table      = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`)
	column     = regexp.MustCompile(`(?m)^ {4}([a-z_]+) +(?:TEXT|BIGINT|BOOLEAN|BYTEA|BLOB)`)
	used       = regexp.MustCompile("(?:FROM|INTO|UPDATE|JOIN) ([a-z][a-z_]*)")
	literal    = regexp.MustCompile("(?s)`[^`]*`|\"[^\"\n]*\"")
	credential = regexp.MustCompile(`passw|secret|hash|credential|private|token|sealed|totp`)
)

// parts are the services, each with its schema.
var parts = map[string]string{
	"token": "../services/token/sqlstore/schema", "customer": "../services/customer/schema",
	"securitysystem": "../services/securitysystem/schema", "notification": "../services/notification/schema",
}

func schema(t *testing.T, folder string) string {
	t.Helper()
	return comment.ReplaceAllString(contents(t, filepath.Join(folder, "*.sql")), "")
}

// contents is the text of every file that matches, but for tests.
func contents(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range found {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	if all.Len() == 0 {
		t.Fatalf("nothing matches %s", pattern)
	}
	return all.String()
}

// TestEachServiceReadsItsOwnTables: what a service's SQL names, its own schema makes, or the outbox that each has.
func TestEachServiceReadsItsOwnTables(t *testing.T) {
	for part, folder := range parts {
		own := append(matches(created, schema(t, folder)), matches(created, schema(t, "../services/internal/outbox/schema"))...)
		code := contents(t, "../services/"+part+"/*.go")
		if part == "token" {
			code += contents(t, "../services/token/sqlstore/*.go")
		}
		var sql strings.Builder
		for _, text := range literal.FindAllString(code, -1) {
			sql.WriteString(text)
		}
		named := matches(used, sql.String())
		if len(named) == 0 {
			t.Errorf("%s has no SQL", part)
		}
		for _, name := range named {
			if !slices.Contains(own, name) && name != "excluded" {
				t.Errorf("%s uses %s, which its schema does not make", part, name)
			}
		}
	}
}

// TestOnlyTheTokenServiceKeepsCredentials reads the columns of every store, and that the gateway has no database at all.
func TestOnlyTheTokenServiceKeepsCredentials(t *testing.T) {
	for part, folder := range parts {
		found := []string{}
		for _, m := range table.FindAllStringSubmatch(schema(t, folder), -1) {
			names := matches(column, m[2])
			if len(names) == 0 {
				t.Errorf("%s: no columns found in %s", part, m[1])
			}
			for _, name := range names {
				if credential.MatchString(name) {
					found = append(found, m[1]+"."+name)
				}
			}
		}
		if part == "token" {
			for _, name := range []string{"users.password_hash", "clients.secret_hash", "signing_keys.sealed"} {
				if !slices.Contains(found, name) {
					t.Errorf("the search does not even find %s: %v", name, found)
				}
			}
		} else if len(found) > 0 {
			t.Errorf("%s keeps %v", part, found)
		}
	}
	for _, pkg := range packages(t) {
		if inside(strings.TrimPrefix(pkg.ImportPath, module), "gateway") && slices.Contains(pkg.Deps, "database/sql") {
			t.Errorf("%s depends on a database", pkg.ImportPath)
		}
	}
}

func matches(pattern *regexp.Regexp, text string) []string {
	var all []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
