package rpc

import (
	"context"
	"errors"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/token/account"
)

// GetMe implements AccountService.
func (s *self) GetMe(ctx context.Context, _ *tokenv1.GetMeRequest) (*tokenv1.GetMeResponse, error) {
	id := mesh.Caller(ctx).Subject
	user, err := s.Store.User(ctx, id)
	if errors.Is(err, account.ErrNotFound) {
		return nil, mesh.NotFound("account", id)
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.GetMeResponse{User: userToProto(user)}, nil
}
