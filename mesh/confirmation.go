package mesh

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/mesh/dpop"
)

// The metadata of DPoP, as its HTTP headers are called (RFC 9449, sections 4.1 and 8.1).
const (
	dpopKey      = "dpop"
	dpopNonceKey = "dpop-nonce"
)

// DPoP is how an edge takes tokens that are bound to a key of the caller's (RFC 9449): the authorization metadata is "DPoP"
// and the token, and the metadata "dpop" one proof, for POST and https://AUTHORITY/package.Service/Method.
type DPoP struct {
	// Checker checks the proofs. Its memory of used ones is shared by all replicas. Required.
	Checker *dpop.Checker
	// Origins are those under which callers reach the server, such as "https://grpc.example.com:9443": what a proof is for
	// is not the caller's to say. At least one.
	Origins []string
}

func (d *DPoP) complete() error {
	if d.Checker == nil || len(d.Origins) == 0 {
		return errors.New("mesh: DPoP needs Checker and Origins")
	}
	for _, o := range d.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return fmt.Errorf("mesh: DPoP: origin %q is not a scheme and a host", o)
		}
	}
	return nil
}

// sent is the credential of a call.
type sent struct {
	// token is what the verifier is asked about: what was presented, or what an edge has got for it.
	token     string
	presented string
	// proven is true for the scheme DPoP, which comes with a proof; false for a bearer token.
	proven bool
	// referred is true where the connection knew the token already.
	referred bool
}

// asDPoP takes the token out of "DPoP <token>" (RFC 9449, section 7.1), and nothing out of any other scheme.
func asDPoP(authorization string) (token string, ok bool) {
	scheme, token, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "dpop") {
		return "", false
	}
	return token, true
}

// prove demands that the sender of a token which is bound to a key holds that key. A bound token must not pass for a bearer
// token, nor one that is not bound for one whose sender has proven anything.
func (g *guard) prove(ctx context.Context, method string, s sent, to Confirmation) error {
	switch {
	case s.proven && to.JKT != "":
		return g.proveKey(ctx, method, s, to.JKT)
	case s.proven:
		return because("not_bound", Unauthenticated(ReasonUnauthenticated))
	case to.JKT != "":
		return because("unproven_key", Unauthenticated(ReasonUnprovenKey))
	case to.X5T != "" && !showsCertificate(ctx, to.X5T):
		return because("other_certificate", Unauthenticated(ReasonOtherCertificate))
	default:
		return nil
	}
}

// proveKey checks the DPoP proof of a call.
func (g *guard) proveKey(ctx context.Context, method string, s sent, thumbprint string) error {
	d := g.cfg.DPoP
	urls := make([]string, len(d.Origins))
	for i, origin := range d.Origins {
		urls[i] = origin + method
	}
	proof, err := d.Checker.Check(ctx, dpop.Request{
		Proofs: metadata.ValueFromIncomingContext(ctx, dpopKey), Method: http.MethodPost, URLs: urls,
		AccessToken: s.presented, Thumbprint: thumbprint,
	})
	if errors.Is(err, dpop.ErrUseNonce) {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(dpopNonceKey, d.Checker.Nonce()))
	}
	if err != nil {
		return UnprovenKey(err)
	}
	if proof.RenewNonce {
		_ = grpc.SetHeader(ctx, metadata.Pairs(dpopNonceKey, d.Checker.Nonce()))
	}
	return nil
}

// UnprovenKey refuses a call for what [dpop.Checker.Check] says of its proof.
func UnprovenKey(err error) error {
	public := Unauthenticated(ReasonInvalidDPoPProof)
	switch {
	case errors.Is(err, dpop.ErrUseNonce):
		public = Unauthenticated(ReasonUseDPoPNonce)
	case errors.Is(err, dpop.ErrCannotCheck):
		public = Unavailable("the memory of used proofs")
	}
	cause := "invalid_proof"
	var caused interface{ Cause() string }
	if errors.As(err, &caused) {
		cause = caused.Cause()
	}
	return &refusal{cause: cause, err: err, status: statusOf(public)}
}

// showsCertificate reports whether the peer has proven, in the handshake, to hold the key of the certificate with this
// digest (RFC 8705, section 3). Who issued it does not matter: the issuer of the token has named this one.
func showsCertificate(ctx context.Context, digest string) bool {
	c := authInfoOf(ctx)
	return c != nil && c.certificate != "" && subtle.ConstantTimeCompare([]byte(c.certificate), []byte(digest)) == 1
}
