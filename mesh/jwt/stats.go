package jwt

import "time"

// Stats is what a [Verifier] has done since it was made.
type Stats struct {
	// Hits are tokens that were remembered; Misses those that had to be verified, the Refused ones among them. A token
	// that can be neither verified nor refused, because the issuer's keys are not there, is a miss.
	Hits, Misses, Refused uint64
	// Fetches are those of the issuer's keys, FetchFailures the ones among them that brought none.
	Fetches, FetchFailures uint64
	// KeysAge is how long ago the keys in use were fetched; the longest there is before the first time. Beyond
	// Config.Refresh the issuer cannot be reached; at Config.MaxStale every token is refused.
	KeysAge time.Duration
}

// Stats reads the counters. It takes no lock.
func (v *Verifier) Stats() Stats {
	return Stats{
		Hits: v.cache.hits(), Misses: v.misses.Load(), Refused: v.refused.Load(),
		Fetches: v.keys.fetches.Load(), FetchFailures: v.keys.failures.Load(), KeysAge: v.keys.age(),
	}
}
