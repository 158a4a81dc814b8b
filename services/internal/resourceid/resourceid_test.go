package resourceid

import (
	"bytes"
	"regexp"
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
