package resourceid

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestNewIsPrefixedAndNeverTheSame(t *testing.T) {
	form := regexp.MustCompile(`^sys_[0-9a-hjkmnp-tv-z]{26}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := New("sys")
		if !form.MatchString(id) {
			t.Fatalf("id %q is not of the form %v", id, form)
		}
		if !Is("sys", id) {
			t.Fatalf("Is does not know %q", id)
		}
		if seen[id] {
			t.Fatalf("id %q was made twice", id)
		}
		seen[id] = true
	}
}

func TestIDsSortByTheTimeTheyWereMade(t *testing.T) {
	lowest, highest := [10]byte{}, [10]byte(bytes.Repeat([]byte{0xff}, 10))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, later := range []time.Duration{time.Millisecond, time.Second, time.Hour, 24 * 365 * time.Hour} {
		before, after := at("x", start, highest), at("x", start.Add(later), lowest)
		if before >= after {
			t.Errorf("id of %v later sorts first: %s, %s", later, before, after)
		}
	}
}

func TestIsRefusesWhatNewCannotHaveMade(t *testing.T) {
	id := New("sys")
	for _, test := range []struct{ name, id string }{
		{"nothing", ""},
		{"another kind", New("loc")},
		{"no kind", id[len("sys_"):]},
		{"too short", id[:len(id)-1]},
		{"too long", id + "0"},
		{"upper case", "sys_" + strings.ToUpper(id[4:])},
		{"a letter that looks like another", id[:10] + "l" + id[11:]},
		{"NUL", id[:10] + "\x00" + id[11:]},
		{"SQL", "sys_' OR 1=1; -- aaaaaaaaaaaaa"},
		{"stray bits", id[:len(id)-1] + "1"},
		{"a line end", id[:len(id)-1] + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if Is("sys", test.id) {
				t.Errorf("Is(%q)", test.id)
			}
		})
	}
}
