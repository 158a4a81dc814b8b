package mesh

import (
	"net/netip"
	"time"
)

// Decision is what a guard has decided about a call.
type Decision struct {
	// Method is "/package.Service/Method". Where Cause is [UnknownMethod], its text is the caller's own.
	Method string
	// Cause is why the call was refused: one of a few fixed words, which the caller is not told. Empty: it was admitted.
	Cause string
	// Caller is who was admitted, not to be changed; nil where nobody had to be known, and for a refusal.
	Caller *Identity
}

// Denial is a call that was refused to somebody who is known: the token is good, and the rule of the method does not hold for
// its caller, or asks for another sign-in, or the handler has answered PERMISSION_DENIED. Strangers are denied nothing: they
// are not let in.
type Denial struct {
	Time   time.Time
	Method string
	// Reason is what the caller was told, such as [ReasonRoleMissing], Cause the fixed word of [Decision].
	Reason, Cause string
	// Caller is whose call it was, not to be changed.
	Caller *Identity
	// Via are the workloads that the call came through, as [Via] has them.
	Via []string
	// Client is the address that the call came from, as [ClientAddress] has it.
	Client netip.Addr
	// RequestID is by which the logs of all parts know the call.
	RequestID string
}

// UnknownMethod is the cause of refusing a call to a method that does not exist.
const UnknownMethod = "unknown_method"
