package rpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// Reasons of refused exchanges.
const (
	reasonSubjectToken = "SUBJECT_TOKEN"
	reasonAudience     = "AUDIENCE"
	reasonExchange     = "EXCHANGE"
)

// exchanger implements TokenService.
type exchanger struct {
	tokenv1.UnsafeTokenServiceServer
	Config
}

// Exchange implements TokenService.
func (s *exchanger) Exchange(ctx context.Context, req *tokenv1.ExchangeRequest) (*tokenv1.ExchangeResponse, error) {
	certificate, ok := mesh.PeerCertificate(ctx)
	if !ok {
		return nil, errors.New("exchange a token: the guard let a workload in without a certificate")
	}
	got, err := s.OAuth.ExchangeForPart(ctx, oauth.PartExchange{
		Part: mesh.Caller(ctx).ClientID, SubjectToken: req.GetSubjectToken(), Audience: req.GetAudience(), Scopes: req.GetScopes(),
		Certificate: oauth.Confirmation{X5T: mesh.Thumbprint(certificate)}, Bind: req.GetBindToCertificate(),
	})
	if err != nil {
		return nil, leaving(refusedExchange(err))
	}
	return &tokenv1.ExchangeResponse{AccessToken: got.Token, ExpireTime: timestamppb.New(got.Expires), Scopes: got.Scopes}, nil
}

// refusedExchange is what a part is told. It is told the truth: it has to know whether its caller is at fault or itself.
func refusedExchange(err error) error {
	refusal, ok := errors.AsType[*oauth.Error](err)
	switch {
	case errors.Is(err, oauth.ErrSubjectToken):
		return mesh.FailedPrecondition(reasonSubjectToken, "the subject token is invalid, expired, revoked, or not for this part")
	case !ok:
		return fmt.Errorf("exchange a token: %w", err)
	case refusal.Code == oauth.CodeInvalidScope:
		return mesh.PermissionDenied(mesh.ReasonScopeMissing, refusal.Description)
	case refusal.Code == oauth.CodeInvalidTarget:
		return mesh.PermissionDenied(reasonAudience, refusal.Description)
	}
	return mesh.FailedPrecondition(reasonExchange, refusal.Description)
}
