package rpc

import (
	"context"
	"strings"
	"unicode"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/resourceid"
	"github.com/realguardio/realguardio/services/token/account"
)

// ProvisionUser implements AdminService.
func (a *admin) ProvisionUser(ctx context.Context, req *tokenv1.ProvisionUserRequest) (*tokenv1.ProvisionUserResponse, error) {
	if strings.ContainsFunc(req.GetName(), unicode.IsControl) {
		return nil, mesh.InvalidField("name", "must not contain control characters")
	}
	user, made, err := a.Store.EnsureUser(ctx, account.User{
		ID: resourceid.New("usr"), Email: req.GetEmail(), Name: req.GetName(), Roles: req.GetRoles(), Created: a.Now(),
	}, false)
	if err != nil {
		return nil, leaving(err)
	}
	if made {
		a.Logger.InfoContext(ctx, "account provisioned", "subject", user.ID, "by", mesh.Caller(ctx).Subject)
	}
	return &tokenv1.ProvisionUserResponse{User: userToProto(user)}, nil
}
