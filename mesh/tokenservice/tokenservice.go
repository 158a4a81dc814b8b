// Package tokenservice exchanges tokens at the token service of the trust domain, over gRPC: this process proves itself by
// its certificate and its own token, and may have tokens bound to that certificate.
//
// For other issuers there is package tokenexchange. What is remembered of exchanges is mesh.Exchanges'.
package tokenservice

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
)

// reasonSubjectToken is what the service says of a token that it does not exchange.
const reasonSubjectToken = "SUBJECT_TOKEN"

// Exchanger asks the token service. It is safe for concurrent use.
type Exchanger struct{ service tokenv1.TokenServiceClient }

var _ mesh.Exchanger = (*Exchanger)(nil)

// New makes an exchanger. conn leads to the token service and was dialled with [mesh.AsService].
func New(conn grpc.ClientConnInterface) *Exchanger {
	return &Exchanger{tokenv1.NewTokenServiceClient(conn)}
}

// Exchange implements [mesh.Exchanger].
func (x *Exchanger) Exchange(ctx context.Context, req mesh.ExchangeRequest) (mesh.Exchanged, error) {
	got, err := x.service.Exchange(ctx, &tokenv1.ExchangeRequest{
		SubjectToken: req.SubjectToken, Audience: req.Audience, Scopes: req.Scopes, BindToCertificate: req.Bind,
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
