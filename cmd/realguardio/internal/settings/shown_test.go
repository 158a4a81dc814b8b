package settings

import (
	"testing"
	"time"
)

func TestDefaultsAreShownAsPeopleWriteThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", 5 * time.Minute: "5m", 90 * time.Second: "1m30s", 10 * time.Second: "10s", 90 * 24 * time.Hour: "2160h", 70 * time.Minute: "1h10m",
	} {
		if got := shown(d); got != want {
			t.Errorf("%v is shown as %q, not %q", d, got, want)
		}
	}
}
