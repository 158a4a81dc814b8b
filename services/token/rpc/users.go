package rpc

import (
	"context"
	"errors"
	"slices"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/name"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/password"
)

// leavingAccount is leaving, for what can go wrong with the account id.
func leavingAccount(err error, id string) error {
	if limited, ok := errors.AsType[*account.LimitError](err); ok {
		return mesh.ResourceExhausted("TOO_MANY_ATTEMPTS", limited.RetryAfter)
	}
	if weak, ok := errors.AsType[*password.WeakError](err); ok {
		return mesh.InvalidField("newPassword", weak.Reason)
	}
	switch {
	case errors.Is(err, account.ErrNotFound):
		return mesh.NotFound("account", id)
	case errors.Is(err, account.ErrTaken):
		return mesh.AlreadyExists("account", "another account has this e-mail address")
	case errors.Is(err, account.ErrLastAdmin):
		return mesh.FailedPrecondition("LAST_ADMIN", "this is the last enabled platform admin: make another one first")
	case errors.Is(err, account.ErrNoMail):
		return mesh.FailedPrecondition("MAIL_NOT_CONFIGURED",
			"no mail server is configured: give the token service --smtp-address, or use realguardio users link on its machine")
	case errors.Is(err, account.ErrHasPassword):
		return mesh.FailedPrecondition("NOT_INVITED", "a password has been chosen already")
	case errors.Is(err, account.ErrDisabled):
		return mesh.FailedPrecondition("ACCOUNT_DISABLED", "the account is disabled")
	case errors.Is(err, account.ErrRefused):
		return mesh.InvalidField("currentPassword", "is not the password of this account")
	}
	return leaving(err)
}

// checkPerson refuses what is no name or address of a person. Empty is left to the message's own rules.
func checkPerson(personName, email string) error {
	if problem := name.Problem(personName); personName != "" && problem != "" {
		return mesh.InvalidField("name", problem)
	}
	if problem := name.Problem(email); email != "" && problem != "" {
		return mesh.InvalidField("email", problem)
	}
	return nil
}

// ProvisionUser implements AdminService.
func (a *admin) ProvisionUser(ctx context.Context, req *tokenv1.ProvisionUserRequest) (*tokenv1.ProvisionUserResponse, error) {
	if err := checkPerson(req.GetName(), req.GetEmail()); err != nil {
		return nil, err
	}
	user, made, err := a.Accounts.Provision(ctx, req.GetEmail(), req.GetName(), req.GetRoles())
	if err != nil {
		return nil, leavingAccount(err, "")
	}
	if made {
		a.Logger.InfoContext(ctx, "account provisioned", "subject", user.ID, "by", mesh.Caller(ctx).Subject)
	}
	return &tokenv1.ProvisionUserResponse{User: userToProto(user)}, nil
}

// InviteUser implements AdminService.
func (a *admin) InviteUser(ctx context.Context, req *tokenv1.InviteUserRequest) (*tokenv1.InviteUserResponse, error) {
	if err := checkPerson(req.GetName(), req.GetEmail()); err != nil {
		return nil, err
	}
	user, err := a.Accounts.Invite(ctx, req.GetEmail(), req.GetName(), req.GetRoles())
	if err != nil {
		return nil, leavingAccount(err, "")
	}
	a.Logger.InfoContext(ctx, "somebody was invited", "subject", user.ID, "by", mesh.Caller(ctx).Subject)
	return &tokenv1.InviteUserResponse{User: userToProto(user)}, nil
}

// ResendInvitation implements AdminService.
func (a *admin) ResendInvitation(ctx context.Context, req *tokenv1.ResendInvitationRequest) (*tokenv1.ResendInvitationResponse, error) {
	if err := a.Accounts.Reinvite(ctx, req.GetUserId()); err != nil {
		return nil, leavingAccount(err, req.GetUserId())
	}
	return &tokenv1.ResendInvitationResponse{}, nil
}

// ListUsers implements AdminService.
func (a *admin) ListUsers(ctx context.Context, req *tokenv1.ListUsersRequest) (*tokenv1.ListUsersResponse, error) {
	const list page.List = "users"
	last, err := lastOf(list, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	users, err := a.Accounts.Search(ctx, req.GetQuery(), last, size+1)
	if err != nil {
		return nil, leaving(err)
	}
	users, next := page.Cut(list, users, size, func(u account.User) []string { return []string{account.EmailKey(u.Email)} })
	response := &tokenv1.ListUsersResponse{NextPageToken: next}
	for _, u := range users {
		response.Users = append(response.Users, userToProto(u))
	}
	return response, nil
}

// GetUser implements AdminService.
func (a *admin) GetUser(ctx context.Context, req *tokenv1.GetUserRequest) (*tokenv1.GetUserResponse, error) {
	user, err := a.People.User(ctx, req.GetUserId())
	if err != nil {
		return nil, leavingAccount(err, req.GetUserId())
	}
	return &tokenv1.GetUserResponse{User: userToProto(user)}, nil
}

// UpdateUser implements AdminService.
func (a *admin) UpdateUser(ctx context.Context, req *tokenv1.UpdateUserRequest) (*tokenv1.UpdateUserResponse, error) {
	if err := checkPerson(req.GetName(), req.GetEmail()); err != nil {
		return nil, err
	}
	user, err := a.Accounts.Update(ctx, req.GetUserId(), req.Name, req.Email)
	if err != nil {
		return nil, leavingAccount(err, req.GetUserId())
	}
	a.Logger.InfoContext(ctx, "account changed", "subject", user.ID, "by", mesh.Caller(ctx).Subject)
	return &tokenv1.UpdateUserResponse{User: userToProto(user)}, nil
}

// SetUserRoles implements AdminService.
func (a *admin) SetUserRoles(ctx context.Context, req *tokenv1.SetUserRolesRequest) (*tokenv1.SetUserRolesResponse, error) {
	roles := slices.Clone(req.GetRoles())
	slices.Sort(roles)
	user, err := a.Accounts.SetRoles(ctx, req.GetUserId(), roles)
	if err != nil {
		return nil, leavingAccount(err, req.GetUserId())
	}
	a.Logger.InfoContext(ctx, "roles set", "subject", user.ID, "roles", roles, "by", mesh.Caller(ctx).Subject)
	return &tokenv1.SetUserRolesResponse{User: userToProto(user)}, nil
}

// DisableUser implements AdminService.
func (a *admin) DisableUser(ctx context.Context, req *tokenv1.DisableUserRequest) (*tokenv1.DisableUserResponse, error) {
	user, err := a.setDisabled(ctx, req.GetUserId(), true)
	if err != nil {
		return nil, err
	}
	return &tokenv1.DisableUserResponse{User: userToProto(user)}, nil
}

// EnableUser implements AdminService.
func (a *admin) EnableUser(ctx context.Context, req *tokenv1.EnableUserRequest) (*tokenv1.EnableUserResponse, error) {
	user, err := a.setDisabled(ctx, req.GetUserId(), false)
	if err != nil {
		return nil, err
	}
	return &tokenv1.EnableUserResponse{User: userToProto(user)}, nil
}

func (a *admin) setDisabled(ctx context.Context, id string, disabled bool) (account.User, error) {
	user, err := a.Accounts.SetDisabled(ctx, id, disabled)
	if err != nil {
		return account.User{}, leavingAccount(err, id)
	}
	a.Logger.InfoContext(ctx, "account disabled or enabled", "subject", id, "disabled", disabled, "by", mesh.Caller(ctx).Subject)
	return user, nil
}
