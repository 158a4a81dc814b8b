package revocation

import "time"

// Stats is how a [Set] stands with its feed.
type Stats struct {
	// Entries are those held.
	Entries int
	// Age is how long ago the set was last known to be complete; the longest there is before the first time.
	Age time.Duration
	// Lag is how long the newest revocation took, from being made to being in the set. It is as good as the two clocks
	// agree. Those that a replay brought do not count.
	Lag time.Duration
	// Resyncs is how often the feed had to begin from the start, the first time included.
	Resyncs uint64
}

// Stats reads how the set stands. It takes no lock.
func (s *Set) Stats() Stats {
	return Stats{Entries: s.Len(), Age: s.Age(), Lag: time.Duration(s.lag.Load()), Resyncs: s.resyncs.Load()}
}
