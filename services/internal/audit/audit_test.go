package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	"github.com/realguardio/realguardio/services/auditlog"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

var databases = storetest.Migrated(audit.Migrate)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// each runs test on both engines with an empty log.
func each(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		if err := audit.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		test(t, db)
	})
}

func add(t *testing.T, db *sqldb.DB, entries ...audit.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := db.Tx(t.Context(), func(tx sqldb.Tx) error { return audit.Add(t.Context(), tx, e) }); err != nil {
			t.Fatal(err)
		}
	}
}

func list(t *testing.T, db *sqldb.DB, f audit.Filter) []audit.Entry {
	t.Helper()
	entries, err := audit.List(t.Context(), db, f, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// some is an entry for each of actors.
func some(actors ...string) []audit.Entry {
	var entries []audit.Entry
	for i, actor := range actors {
		entries = append(entries, audit.Entry{Time: noon.Add(time.Duration(i) * time.Second), Actor: actor, Action: "user.disable",
			Target: fmt.Sprint("usr_", i), Details: map[string]string{"was": "enabled", "because": actor}})
	}
	return entries
}

func TestWhatIsAddedIsListedTheNewestFirst(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		want := audit.Entry{Number: 2, Time: noon, Actor: "usr_1", ClientID: "app_1", Action: "client.update", Target: "app_2", Result: "refused",
			Address: "192.0.2.7", RequestID: "req-1", Details: map[string]string{"scopes": "a b", "": "ü\n\"'"}}
		add(t, db, audit.Entry{Time: noon.Add(1500 * time.Nanosecond), Action: "login"}, want)
		got := list(t, db, audit.Filter{})
		if len(got) != 2 || got[1].Number != 1 || got[1].Result != audit.OK || !got[1].Time.Equal(noon.Add(time.Microsecond)) || got[1].Actor != "" {
			t.Fatalf("%+v", got)
		}
		if diff := cmp.Diff(want, got[0], cmpopts.IgnoreFields(audit.Entry{}, "Hash")); diff != "" || len(got[0].Hash) != 32 {
			t.Error(diff)
		}
		if head, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil || head.Number != 2 || !cmp.Equal(head.Hash, got[0].Hash) {
			t.Errorf("%v, %v", head, err)
		}
	})
}

func TestWhatComesFromOutsideIsKeptAsFarAsItCanBe(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := audit.WithOrigin(t.Context(), "2001:db8::1", "req\x00")
		if err := db.Tx(ctx, func(tx sqldb.Tx) error {
			return audit.Add(ctx, tx, audit.Entry{Time: noon, Action: "login", Target: "nul\x00 \xff" + strings.Repeat("é", 200),
				Details: map[string]string{"agent": strings.Repeat("x", 10_000)}})
		}); err != nil {
			t.Fatal(err)
		}
		got := list(t, db, audit.Filter{})[0]
		if len(got.Target) > 254 || !strings.HasPrefix(got.Target, "nul\uFFFD \uFFFDé") || !strings.HasSuffix(got.Target, "é") {
			t.Errorf("target %q", got.Target)
		}
		if len(got.Details["agent"]) != 500 || got.Address != "2001:db8::1" || got.RequestID != "req\uFFFD" {
			t.Errorf("%+v", got)
		}
		if _, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil {
			t.Error(err)
		}
	})
}

func TestWithoutItsChangeThereIsNoEntry(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		failure := errors.New("changed my mind")
		for name, f := range map[string]func(tx sqldb.Tx) error{
			"the transaction fails afterwards": func(tx sqldb.Tx) error {
				return errors.Join(audit.Add(t.Context(), tx, some("a")[0]), failure)
			},
			"it has no action": func(tx sqldb.Tx) error { return audit.Add(t.Context(), tx, audit.Entry{Time: noon}) },
			"it has no time":   func(tx sqldb.Tx) error { return audit.Add(t.Context(), tx, audit.Entry{Action: "login"}) },
			"it has too many details": func(tx sqldb.Tx) error {
				e := some("a")[0]
				for i := range 20 {
					e.Details[fmt.Sprint(i)] = "x"
				}
				return audit.Add(t.Context(), tx, e)
			},
		} {
			if err := db.Tx(t.Context(), f); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		add(t, db, some("b")...)
		if got := list(t, db, audit.Filter{}); len(got) != 1 || got[0].Number != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestEntriesOfManyWritersAtOnceAreNumberedWithoutGaps(t *testing.T) {
	databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		replicas := []*sqldb.DB{open(), open()}
		for _, db := range replicas {
			if err := audit.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
		const writers, each = 8, 10
		var running sync.WaitGroup
		for w := range writers {
			running.Go(func() {
				for range each {
					err := replicas[w%2].Tx(t.Context(), func(tx sqldb.Tx) error {
						return audit.Add(t.Context(), tx, some(fmt.Sprint("w", w))[0])
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		if head, err := audit.Verify(t.Context(), replicas[0], audit.Head{}); err != nil || head.Number != writers*each {
			t.Errorf("%v, %v", head, err)
		}
	})
}

func TestAChangedLogShows(t *testing.T) {
	for _, test := range []struct {
		name  string
		sql   []string
		names string
	}{
		{"another actor", []string{`UPDATE audit_entries SET actor = 'z' WHERE number = 2`}, "entry 2 is not"},
		{"another time", []string{`UPDATE audit_entries SET time = time + 1 WHERE number = 2`}, "entry 2 is not"},
		{"another detail", []string{`UPDATE audit_entries SET details = '{"was":"disabled","because":"b"}' WHERE number = 2`}, "entry 2 is not"},
		{"what is no detail", []string{`UPDATE audit_entries SET details = 'nothing' WHERE number = 2`}, "entry 2 is not"},
		{"a value moved to the field beside", []string{`UPDATE audit_entries SET client_id = actor, actor = '' WHERE number = 2`}, "entry 2 is not"},
		{"another hash", []string{`UPDATE audit_entries SET hash = '00' WHERE number = 2`}, "entry 2 is not"},
		{"two swapped", []string{`UPDATE audit_entries SET number = -1 WHERE number = 2`, `UPDATE audit_entries SET number = 2 WHERE number = 3`,
			`UPDATE audit_entries SET number = 3 WHERE number = -1`}, "entry 2 is not"},
		{"one taken out", []string{`DELETE FROM audit_entries WHERE number = 2`}, "entry 2 is missing"},
		{"one taken out and the rest moved up", []string{`DELETE FROM audit_entries WHERE number = 2`,
			`UPDATE audit_entries SET number = 2 WHERE number = 3`, `UPDATE audit_head SET number = 2`}, "entry 2 is not"},
		{"the first taken out", []string{`DELETE FROM audit_entries WHERE number = 1`}, "entry 1 is missing"},
		{"the last taken out", []string{`DELETE FROM audit_entries WHERE number = 3`}, "entry 3 is missing"},
		{"two changed, and one between taken out", []string{`UPDATE audit_entries SET actor = 'z'`, `DELETE FROM audit_entries WHERE number = 2`}, "entry 1 is not"},
		{"what is no text", []string{`UPDATE audit_entries SET actor = CAST(x'ff' AS TEXT) WHERE number = 3`}, "entry 3 is not"},
		{"one put in before the first", []string{`INSERT INTO audit_entries SELECT 0, time, 'z', client_id, action, target, result, address, request_id, details, hash FROM audit_entries WHERE number = 1`}, "entry 0 was put in"},
		{"all taken out", []string{`DELETE FROM audit_entries`}, "entry 1 is missing"},
		{"the last taken out and the head set back, where the end is known", []string{`DELETE FROM audit_entries WHERE number = 3`,
			`UPDATE audit_head SET number = 2`}, "entry 3 is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, db *sqldb.DB) {
				add(t, db, some("a", "b", "c")...)
				known, err := audit.Verify(t.Context(), db, audit.Head{})
				if err != nil {
					t.Fatal(err)
				}
				if shown, err := readFrom(t, db, known); err != nil || !cmp.Equal(shown, known) {
					t.Fatalf("who reads it sees %v, %v", shown, err)
				}
				for _, sql := range test.sql {
					if _, err := db.Exec(t.Context(), sql); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := audit.Verify(t.Context(), db, known); !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), test.names) {
					t.Errorf("%v", err)
				}
				if _, err := readFrom(t, db, known); err == nil || !strings.HasPrefix(err.Error(), test.names) {
					t.Errorf("who reads it sees %v", err)
				}
			})
		})
	}
}

// readFrom checks a log as whoever reads it can, by the pages that the service shows.
func readFrom(t *testing.T, db *sqldb.DB, known audit.Head) (audit.Head, error) {
	t.Helper()
	walk := auditlog.NewWalk(known)
	for req := (&auditv1.ListEntriesRequest{Part: "token", PageSize: 2}); ; {
		page, err := audit.NewService(db, "token").ListEntries(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		walk.Add(page)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			return walk.End()
		}
	}
}

func TestALogWrittenAnewIsNotTheOneThatWasKnown(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		add(t, db, some("a", "b", "c")...)
		known, err := audit.Verify(t.Context(), db, audit.Head{})
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{`DELETE FROM audit_entries`, `UPDATE audit_head SET number = 0`} {
			if _, err := db.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		add(t, db, some("a", "x", "c", "d")...)
		if _, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil {
			t.Errorf("by itself it is whole: %v", err)
		}
		if _, err := audit.Verify(t.Context(), db, known); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("%v", err)
		}
		if _, err := readFrom(t, db, known); err == nil || err.Error() != "entry 3 is not the one that was known" {
			t.Errorf("who reads it sees %v", err)
		}
	})
}

func TestALongLogIsWalkedToItsEnd(t *testing.T) {
	db := databases.SQLite(t)
	if err := audit.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	const many = 2001
	err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
		for range many {
			if err := audit.Add(t.Context(), tx, some("a")[0]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if head, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil || head.Number != many {
		t.Errorf("%d, %v", head.Number, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.Verify(ctx, db, audit.Head{}); err == nil || errors.Is(err, audit.ErrBroken) {
		t.Errorf("what cannot be read is not therefore changed: %v", err)
	}
}

func TestWhoStoodBetweenIsPartOfTheRecord(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		add(t, db, audit.Entry{Time: noon, Actor: "usr_1", ClientID: "web", Actors: []string{"securitysystem", "gateway"}, Via: []string{"securitysystem", "customer", "gateway"}, Action: "user.disable"},
			audit.Entry{Time: noon, Actor: "usr_1", Action: "user.disable"})
		got := list(t, db, audit.Filter{})
		if !cmp.Equal(got[1].Actors, []string{"securitysystem", "gateway"}) || !cmp.Equal(got[1].Via, []string{"securitysystem", "customer", "gateway"}) || len(got[0].Actors) != 0 || len(got[0].Via) != 0 {
			t.Errorf("%+v", got)
		}
		for _, name := range []string{"actors", "via"} {
			err := db.Tx(t.Context(), func(tx sqldb.Tx) error {
				return audit.Add(t.Context(), tx, audit.Entry{Time: noon, Action: "login", Details: map[string]string{name: "gateway"}})
			})
			if err == nil {
				t.Errorf("a detail may call itself %s", name)
			}
		}
		if _, err := db.Exec(t.Context(), `UPDATE audit_entries SET details = '{"actors":"gateway","via":"securitysystem"}' WHERE number = 1`); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Verify(t.Context(), db, audit.Head{}); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("another chain is not noticed: %v", err)
		}
	})
}

// TestWhatWasWrittenBeforeIsStillWhole has a log of a time when an entry named the last workload alone.
func TestWhatWasWrittenBeforeIsStillWhole(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		if _, err := db.Exec(t.Context(), `INSERT INTO audit_entries (number, time, actor, client_id, action, target, result, address, request_id, details, hash)
			VALUES (1, 1772366400000000, 'usr_1', 'web', 'user.disable', 'usr_2', 'ok', '', 'req-1', '{"actors":"securitysystem","via":"gateway"}',
			'9ff40c630468f9fd0e832bd7a77c1cdf0d0877a6089b0d09164da7460a7daac3')`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `UPDATE audit_head SET number = 1`); err != nil {
			t.Fatal(err)
		}
		add(t, db, audit.Entry{Time: noon, Actor: "usr_1", Via: []string{"customer", "gateway"}, Action: "user.enable"},
			audit.Entry{Time: noon, Actor: "usr_1", Actors: slices.Repeat([]string{"a"}, 251), Via: []string{"gateway"}, Action: "user.enable"})
		if head, err := readFrom(t, db, audit.Head{}); err != nil || head.Number != 3 {
			t.Errorf("who reads it sees %v, %v", head, err)
		}
		if head, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil || head.Number != 3 {
			t.Errorf("%v, %v", head, err)
		}
		if got := list(t, db, audit.Filter{}); !cmp.Equal(got[2].Via, []string{"gateway"}) || !cmp.Equal(got[2].Actors, []string{"securitysystem"}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestManyWhoWriteInTurnAllSucceed has more of them than transactions are tried again.
func TestManyWhoWriteInTurnAllSucceed(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		const writers, times = 24, 5
		w := audit.NewWriter(db)
		var running sync.WaitGroup
		for range writers {
			running.Go(func() {
				for range times {
					if err := w.Tx(t.Context(), func(tx sqldb.Tx) error { return audit.Add(t.Context(), tx, some("a")[0]) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		if head, err := audit.Verify(t.Context(), db, audit.Head{}); err != nil || head.Number != writers*times {
			t.Errorf("%v, %v", head, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		held := w.Tx(t.Context(), func(sqldb.Tx) error {
			cancel()
			if err := w.Tx(ctx, func(sqldb.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("who has gone still waits: %v", err)
			}
			return nil
		})
		if held != nil {
			t.Error(held)
		}
	})
}
