package credential

import "sync/atomic"

// Stats is what became of credentials of one kind since the [Checker] was made.
type Stats struct {
	// Hits were answered from memory, good or bad.
	Hits uint64
	// Requests are questions to the identity provider, Refused the ones among them that it answered with no, Failures those
	// that brought no answer, or none that can be believed.
	Requests, Refused, Failures uint64
}

// Stats reads the counters of API keys and of opaque tokens.
func (c *Checker) Stats() (keys, opaque Stats) { return c.keys.count.stats(), c.opaques.count.stats() }

type counters struct{ hits, requests, refused, failures atomic.Uint64 }

func (c *counters) stats() Stats {
	return Stats{Hits: c.hits.Load(), Requests: c.requests.Load(), Refused: c.refused.Load(), Failures: c.failures.Load()}
}
