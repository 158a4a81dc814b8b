package mesh

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/metadata"
)

// ErrCannotVerify is what a [Verifier] wraps when it can neither accept nor refuse a token now, because the issuer's
// keys are not there. The call is refused with UNAVAILABLE.
var ErrCannotVerify = errors.New("mesh: tokens cannot be verified now")

// Verifier tells who a token speaks for. It is safe for concurrent use, and refuses every token that it does not know
// to be a live access token of a trusted issuer for this audience. The identity it returns has an Expiry and is not
// changed by anyone.
//
// An error may have a method Cause() string with a short fixed word for metrics, such as "expired". Neither it nor the
// error's text is sent to the caller.
type Verifier interface {
	Verify(ctx context.Context, token string) (Identity, error)
}

// maxToken is the longest token looked at, in bytes.
const maxToken = 8 << 10

// credential reads the one credential of a call. It refuses two rather than ranking them: a caller able to add metadata
// must not be able to choose which of them counts.
func (g *guard) credential(ctx context.Context) (sent, error) {
	values := metadata.ValueFromIncomingContext(ctx, authorizationKey)
	switch {
	case len(values) == 0:
		return sent{}, because("no_credential", Unauthenticated(ReasonUnauthenticated))
	case len(values) > 1 || strings.Contains(values[0], ","):
		return sent{}, because("two_credentials", Unauthenticated(ReasonUnauthenticated))
	case len(values[0]) > maxToken:
		return sent{}, because("oversized", Unauthenticated(ReasonUnauthenticated))
	}
	if token, err := referred(ctx, values[0]); token != "" || err != nil {
		return sent{token: token, referred: true}, err
	}
	s, value := sent{}, values[0]
	if g.cfg.DPoP != nil {
		if s.presented, s.proven = asDPoP(value); s.proven {
			value = "Bearer " + s.presented
		}
	}
	var err error
	if s.token, err = g.cfg.Credential(ctx, value); err != nil {
		return sent{}, unverified(err)
	}
	return s, nil
}

var errNotBearer = causedError{cause: "not_bearer", text: "the credential is not a bearer token"}

// bearerOnly takes the token out of "Bearer <token>" (RFC 6750, section 2.1). The scheme's case does not matter
// (RFC 9110, section 11.1); everything else does.
func bearerOnly(_ context.Context, authorization string) (string, error) {
	scheme, token, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "bearer") || token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", errNotBearer
	}
	return token, nil
}
