package mesh

// Revocations tells which tokens ended before their time. It is safe for concurrent use and does no I/O.
type Revocations interface {
	// Revoked reports whether the token behind id has ended.
	Revoked(id Identity) bool
	// Stale reports whether a revocation might have been made that is not known here yet.
	Stale() bool
	// Notify calls f once, in a goroutine of its own, as soon as id is revoked; at once where it is already. After stop
	// has returned, f is not started any more.
	Notify(id Identity, f func()) (stop func())
}

// Ending is what ended a token before its time: the reason with which it is refused.
type Ending string

// What can have ended. Who holds a token whose signature is good may know which of them, and nobody else.
const (
	// TokenEnded is the token itself, or the session, grant, key or token that it came of.
	TokenEnded Ending = "TOKEN_ENDED"
	// ClientEnded is the client that it was issued to.
	ClientEnded Ending = "CLIENT_ENDED"
	// SubjectEnded is everything its subject had when it was issued.
	SubjectEnded Ending = "SUBJECT_ENDED"
)

// Endings are [Revocations] that know what has ended.
type Endings interface {
	// Ending says what ended the token behind id; empty if nothing did.
	Ending(id Identity) Ending
}

// Ended refuses the token behind id, which has been verified and is revoked, and says what ended if r knows.
func Ended(r Revocations, id Identity) error {
	if e, ok := r.(Endings); ok {
		if ending := e.Ending(id); ending != "" {
			return Unauthenticated(string(ending))
		}
	}
	return Unauthenticated(ReasonUnauthenticated)
}

// NoRevocations knows of no revocation and is never stale: tokens live until they expire. It is for issuers that have
// no revocation feed, with tokens of a few minutes. It must not stand where sessions can be ended.
func NoRevocations() Revocations { return noRevocations{} }

type noRevocations struct{}

func (noRevocations) Revoked(Identity) bool                 { return false }
func (noRevocations) Stale() bool                           { return false }
func (noRevocations) Notify(Identity, func()) (stop func()) { return func() {} }

func staleRevocations() *refusal {
	return because("stale_revocations", Unavailable("the revocation feed"))
}
