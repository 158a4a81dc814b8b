package session

import "sync/atomic"

// Stats is what a [Manager] has done since it was made.
type Stats struct {
	// Begun are sessions that began here; Ended those that were ended before their time, by their person, their provider or
	// a revocation. That a session has run out is seen by nobody.
	Begun, Ended uint64
	// Renewals are those of access tokens, RenewalFailures what the provider did not answer.
	Renewals, RenewalFailures uint64
}

type counters struct{ begun, ended, renewals, renewalFailures atomic.Uint64 }

// Stats reads the counters.
func (m *Manager) Stats() Stats {
	return Stats{
		Begun: m.count.begun.Load(), Ended: m.count.ended.Load(),
		Renewals: m.count.renewals.Load(), RenewalFailures: m.count.renewalFailures.Load(),
	}
}
