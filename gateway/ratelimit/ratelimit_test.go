package ratelimit_test

import (
	"testing"
	"time"

	"github.com/realguardio/realguardio/gateway/ratelimit"
)

func TestEachKeyHasItsBucket(t *testing.T) {
	now := time.Unix(0, 0)
	l := ratelimit.New[string](ratelimit.Limit{PerSecond: 2, Burst: 3}, func() time.Time { return now })
	for range 3 {
		if _, ok := l.Allow("a"); !ok {
			t.Fatal("refused within the burst")
		}
	}
	wait, ok := l.Allow("a")
	if ok || wait != 500*time.Millisecond {
		t.Errorf("allowed %v, wait %v", ok, wait)
	}
	if _, ok := l.Allow("b"); !ok {
		t.Error("another key is refused")
	}
	now = now.Add(wait)
	if _, ok := l.Allow("a"); !ok {
		t.Error("refused after the wait it was told")
	}
}

func TestNoLimit(t *testing.T) {
	if _, ok := ratelimit.New[string](ratelimit.Limit{}, time.Now).Allow("a"); !ok {
		t.Error("refused without a limit")
	}
}
