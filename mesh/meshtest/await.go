package meshtest

import (
	"testing"
	"time"
)

// patience is how long [Await] waits. What it waits for takes milliseconds, except on a machine that is very busy.
const patience = 20 * time.Second

// Within demands of something that it takes no longer than bound, at one of five times: what else the machine does slows
// some of them down, and what is too slow is so each time. Once measures one.
func Within(t testing.TB, bound time.Duration, what string, once func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for len(took) < 5 {
		took = append(took, once())
		if took[len(took)-1] <= bound {
			return
		}
	}
	t.Errorf("%s: not within %v, but %v", what, bound, took)
}

// Await returns as soon as something holds that happens in its own time, and fails the test where that does not come.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
