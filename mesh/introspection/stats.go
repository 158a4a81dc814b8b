package introspection

import "sync/atomic"

// Stats is what a [Verifier] has done since it was made.
type Stats struct {
	// Hits are tokens whose answer was remembered, good or bad.
	Hits uint64
	// Requests are questions to the issuer, Refused the answers among them by which a token is no good, Failures the
	// questions that brought no answer.
	Requests, Refused, Failures uint64
	// TurnedAway are calls that were refused unasked: too many waited, or the issuer had just failed several times.
	TurnedAway uint64
	// Guessed are calls that were refused unasked because too many bad tokens had come from their peer.
	Guessed uint64
	// Waiting is how many calls wait for an answer now.
	Waiting int64
}

// counters are those of a [Verifier].
type counters struct {
	hits, requests, refused, failures, turnedAway, guessed atomic.Uint64
}

// Stats reads the counters. It takes no lock.
func (v *Verifier) Stats() Stats {
	return Stats{
		Hits: v.count.hits.Load(), Requests: v.count.requests.Load(), Refused: v.count.refused.Load(),
		Failures: v.count.failures.Load(), TurnedAway: v.count.turnedAway.Load(), Guessed: v.count.guessed.Load(), Waiting: v.waiting.Load(),
	}
}
