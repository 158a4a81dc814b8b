package meshtest

import (
	"testing"
	"time"
)

// patience is how long [Await] waits. What it waits for takes milliseconds, except on a machine that is very busy.
const patience = 20 * time.Second

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
