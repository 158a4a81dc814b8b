// Package tokenservice exchanges tokens at the token service of the trust domain, over gRPC: this process proves itself by
// its certificate and its own token, and may have tokens bound to a certificate of its own.
//
// For other issuers there is package tokenexchange. What is remembered of exchanges is mesh.Exchanges'.
package tokenservice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/percertificate"
)

// reasonSubjectToken is what the service says of a token that it does not exchange.
const reasonSubjectToken = "SUBJECT_TOKEN"

// Config says how the token service is reached.
type Config struct {
	// Conn leads to the token service and was dialled with [mesh.AsService]. Required.
	Conn grpc.ClientConnInterface
	// Dial makes a connection like Conn that shows a certificate, by [mesh.DialConfig.Certificate]: the service binds a token to
	// the certificate of the connection by which it is asked for it. Default: tokens are not bound.
	Dial func(*tls.Certificate) (*grpc.ClientConn, error)
}

// Exchanger asks the token service. It is safe for concurrent use.
type Exchanger struct {
	cfg Config
	// showing has a connection for each certificate that tokens are bound to.
	showing *percertificate.Set[*grpc.ClientConn]
}

var _ mesh.Exchanger = (*Exchanger)(nil)

// New makes an exchanger.
func New(cfg Config) *Exchanger {
	return &Exchanger{cfg, percertificate.New(cfg.Dial, func(conn *grpc.ClientConn) { _ = conn.Close() })}
}

// Close ends the connections that it has made.
func (x *Exchanger) Close() error {
	x.showing.Close()
	return nil
}

// conn is by which a request is made, until release is called.
func (x *Exchanger) conn(req mesh.ExchangeRequest) (conn grpc.ClientConnInterface, release func(), err error) {
	switch {
	case req.Certificate == nil:
		return x.cfg.Conn, func() {}, nil
	case x.cfg.Dial == nil:
		return nil, nil, errors.New("there is no connection by which a token could be bound")
	}
	return x.showing.Get(req.Certificate)
}

// Exchange implements [mesh.Exchanger].
func (x *Exchanger) Exchange(ctx context.Context, req mesh.ExchangeRequest) (mesh.Exchanged, error) {
	conn, release, err := x.conn(req)
	if err != nil {
		return mesh.Exchanged{}, fmt.Errorf("exchange a token: %w", err)
	}
	defer release()
	got, err := tokenv1.NewTokenServiceClient(conn).Exchange(ctx, &tokenv1.ExchangeRequest{
		SubjectToken: req.SubjectToken, Audience: req.Audience, Scopes: req.Scopes, BindToCertificate: req.Certificate != nil,
	})
	switch {
	case err == nil && got.GetExpireTime().CheckValid() != nil:
		return mesh.Exchanged{}, errors.New("exchange a token: the token service does not say when the new one expires")
	case err == nil:
		return mesh.Exchanged{Token: got.GetAccessToken(), Expiry: got.GetExpireTime().AsTime()}, nil
	case status.Code(err) == codes.FailedPrecondition && mesh.Reason(err) == reasonSubjectToken:
		return mesh.Exchanged{}, fmt.Errorf("exchange a token: %w: %w", mesh.ErrSubjectToken, err)
	case status.Code(err) == codes.PermissionDenied && mesh.Reason(err) == mesh.ReasonScopeMissing:
		return mesh.Exchanged{}, fmt.Errorf("exchange a token: %w: %w", mesh.ErrNoScope, err)
	default:
		return mesh.Exchanged{}, fmt.Errorf("exchange a token: %w", err)
	}
}
