package mesh

import (
	"errors"

	"google.golang.org/grpc/status"
)

// refusal is a status for the caller together with the true reason for the log.
type refusal struct {
	status *status.Status
	// cause is one of a few fixed words.
	cause string
	// err says more; nil where cause says all.
	err error
}

func because(cause string, err error) *refusal { return &refusal{cause: cause, status: statusOf(err)} }

func (r *refusal) Error() string              { return r.status.Message() }
func (r *refusal) GRPCStatus() *status.Status { return r.status }

func statusOf(err error) *status.Status {
	s, _ := status.FromError(err)
	return s
}

type causedError struct{ cause, text string }

func (e causedError) Error() string { return e.text }
func (e causedError) Cause() string { return e.cause }

// unverified turns what a verifier or an edge's Credential says into a refusal.
func unverified(err error) error {
	if errors.Is(err, ErrCannotVerify) {
		return &refusal{cause: "cannot_verify", err: err, status: statusOf(Unavailable("the issuer"))}
	}
	cause := "invalid_token"
	var caused interface{ Cause() string }
	if errors.As(err, &caused) {
		cause = caused.Cause()
	}
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok && infoOf(err) != nil { //nolint:errorlint // only what is a status
		return &refusal{cause: cause, err: err, status: s.GRPCStatus()}
	}
	return &refusal{cause: cause, err: err, status: statusOf(Unauthenticated(ReasonUnauthenticated))}
}
