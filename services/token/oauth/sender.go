package oauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/account"
)

// Proofs checks DPoP proofs; *dpop.Checker is one.
type Proofs interface {
	Check(ctx context.Context, r dpop.Request) (dpop.Proof, error)
	// Nonce is what proofs should name next; empty where none is asked for.
	Nonce() string
}

const (
	// proofsPerNetwork bounds how many proofs of clients that do not authenticate are remembered as used, for each network
	// and proofsWindow: who knows the id of a public client can make any number.
	proofsPerNetwork = 5000
	proofsWindow     = 2 * time.Minute
)

// sender is the key that a request proves, to which the token is bound; nil for none. A client whose tokens are to be bound
// gets no others.
func (s *Server) sender(ctx context.Context, client *Client, req *TokenRequest) (*Confirmation, error) {
	held, proofs := req.Credentials.Certificates, len(req.Proof.Proofs)
	switch {
	case client.CertificateBoundTokens && proofs > 0:
		return nil, refuse(CodeInvalidRequest, "the tokens of this client are bound to its certificate: no DPoP proof goes with that")
	case client.CertificateBoundTokens:
		if len(held) == 0 || weakKey(held[0]) || !inForce(held[0], s.Now()) {
			return nil, refuse(CodeInvalidRequest, "this client must ask over mutual TLS, with a certificate that is in force")
		}
		return &Confirmation{X5T: thumbprintOf(held[0])}, nil
	case proofs > 0:
		key, err := s.provenKey(ctx, client, req.Proof, req.Address)
		if err != nil {
			return nil, err
		}
		return &Confirmation{JKT: key}, nil
	case client.DPoPBoundTokens:
		return nil, refuse(CodeInvalidDPoPProof, "this client must prove a key by DPoP (RFC 9449)")
	}
	return nil, nil
}

// provenKey is the thumbprint of the key that a client proves by DPoP. The proof is spent.
func (s *Server) provenKey(ctx context.Context, client *Client, proof dpop.Request, address string) (string, error) {
	if client.Public {
		bucket := account.Bucket{Name: "dpop:" + account.Network(address), Limit: proofsPerNetwork, Window: proofsWindow}
		if err := s.count(ctx, "too many DPoP proofs", []account.Bucket{bucket}); err != nil {
			return "", err
		}
	}
	proven, err := s.Proofs.Check(ctx, proof)
	if err != nil {
		return "", proofRefused(err)
	}
	return proven.Thumbprint, nil
}

// proofRefused says what a client is told of a proof that was not accepted.
func proofRefused(err error) error {
	switch {
	case errors.Is(err, dpop.ErrUseNonce):
		return refuse(CodeUseDPoPNonce, "the DPoP proof must name the nonce that comes with this answer")
	case errors.Is(err, dpop.ErrInvalidProof):
		why := "invalid"
		if said, ok := errors.AsType[interface {
			error
			Cause() string
		}](err); ok {
			why = said.Cause()
		}
		return refuse(CodeInvalidDPoPProof, "the DPoP proof is not good for this request, or was used before: "+why)
	}
	return fmt.Errorf("checking a DPoP proof: %w: %w", ErrUnavailable, err)
}

// Presented is an access token as a request brings it to one of our own resources.
type Presented struct {
	Token string
	// ByDPoP says that it came with the scheme DPoP (RFC 9449, section 7.1), and not with Bearer.
	ByDPoP bool
	// Proof is what came with it, and what for.
	Proof dpop.Request
	// Certificates are what the sender has proven to hold by mutual TLS.
	Certificates []*x509.Certificate
}

// presented returns the claims of an access token that is valid now and was brought by who it is for.
func (s *Server) presented(ctx context.Context, p Presented) (AccessClaims, error) {
	claims, err := s.AccessToken(ctx, p.Token)
	if err != nil {
		return AccessClaims{}, byScheme(p.ByDPoP, err)
	}
	bound := claims.Confirmation.value()
	switch {
	case p.ByDPoP && bound.JKT == "":
		err = errInvalidToken() // its sender believes that nobody else can send it
	case p.ByDPoP:
		p.Proof.AccessToken, p.Proof.Thumbprint = p.Token, bound.JKT
		if _, err = s.Proofs.Check(ctx, p.Proof); err != nil {
			err = proofRefused(err)
		}
	case bound.JKT != "":
		return AccessClaims{}, &Error{Code: CodeInvalidToken, ByDPoP: true, Description: "the access token is bound to a key: it goes with the scheme DPoP and a proof"}
	case bound.X5T != "" && !holds(p.Certificates, bound):
		err = &Error{Code: CodeInvalidToken, Description: "the access token is bound to a certificate, which did not come with it"}
	}
	if err != nil {
		return AccessClaims{}, byScheme(p.ByDPoP, err)
	}
	return claims, nil
}

// byScheme has a refusal told with a challenge of the scheme that was used.
func byScheme(dpop bool, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && dpop {
		said := *e
		said.ByDPoP = true
		return &said
	}
	return err
}

// holds tells whether the sender holds the certificate that a token is bound to.
func holds(certificates []*x509.Certificate, c Confirmation) bool {
	return len(certificates) > 0 && c.X5T != "" && thumbprintOf(certificates[0]) == c.X5T
}
