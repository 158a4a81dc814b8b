package rpc

import (
	"context"
	"slices"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/token/account"
)

// GetMe implements AccountService.
func (s *self) GetMe(ctx context.Context, _ *tokenv1.GetMeRequest) (*tokenv1.GetMeResponse, error) {
	caller := mesh.Caller(ctx)
	user, err := s.People.User(ctx, caller.Subject)
	if err != nil {
		return nil, leavingAccount(err, caller.Subject)
	}
	return &tokenv1.GetMeResponse{User: told(user, caller)}, nil
}

// UpdateMe implements AccountService.
func (s *self) UpdateMe(ctx context.Context, req *tokenv1.UpdateMeRequest) (*tokenv1.UpdateMeResponse, error) {
	in := req.GetUser()
	fields := req.GetUpdateMask().GetPaths()
	if len(fields) == 0 {
		fields = setFields(in)
	}
	if i := slices.IndexFunc(fields, func(field string) bool { return slices.Contains(notOnesOwn, field) }); i >= 0 {
		return nil, mesh.PermissionDenied("FIELD_NOT_YOURS", fields[i]+" cannot be changed here")
	}
	var changes []func(*account.User)
	for _, field := range fields {
		change, known := ownFields[field]
		if !known {
			return nil, mesh.InvalidField("updateMask", "names a field that an account does not have")
		}
		if problem := change.problem(in); problem != "" {
			return nil, mesh.InvalidField("user."+change.jsonName, problem)
		}
		changes = append(changes, func(u *account.User) { change.set(u, in) })
	}
	id := mesh.Caller(ctx).Subject
	user, err := s.People.SetProfile(ctx, id, func(u *account.User) {
		for _, change := range changes {
			change(u)
		}
	}, s.Now())
	if err != nil {
		return nil, leavingAccount(err, id)
	}
	return &tokenv1.UpdateMeResponse{User: told(user, mesh.Caller(ctx))}, nil
}

// notOnesOwn are fields that are there and that people do not change of their own account in this way.
var notOnesOwn = []string{"id", "email", "email_verified", "roles", "disabled", "invited", "create_time"}

// ownField is a field that people change of their own account.
type ownField struct {
	jsonName string
	problem  func(*tokenv1.User) string
	set      func(*account.User, *tokenv1.User)
}

var ownFields = map[string]ownField{
	"name": {"name", func(u *tokenv1.User) string { return account.NameProblem(u.GetName()) },
		func(a *account.User, u *tokenv1.User) { a.Name = u.GetName() }},
	"given_name": {"givenName", func(u *tokenv1.User) string { return account.PartOfNameProblem(u.GetGivenName()) },
		func(a *account.User, u *tokenv1.User) { a.GivenName = u.GetGivenName() }},
	"family_name": {"familyName", func(u *tokenv1.User) string { return account.PartOfNameProblem(u.GetFamilyName()) },
		func(a *account.User, u *tokenv1.User) { a.FamilyName = u.GetFamilyName() }},
	"locale": {"locale", func(u *tokenv1.User) string { return account.LocaleProblem(u.GetLocale()) },
		func(a *account.User, u *tokenv1.User) { a.Locale = u.GetLocale() }},
	"zoneinfo": {"zoneinfo", func(u *tokenv1.User) string { return account.ZoneProblem(u.GetZoneinfo()) },
		func(a *account.User, u *tokenv1.User) { a.Zoneinfo = u.GetZoneinfo() }},
	"phone_number": {"phoneNumber", func(u *tokenv1.User) string { return account.PhoneProblem(u.GetPhoneNumber()) },
		func(a *account.User, u *tokenv1.User) { a.PhoneNumber = u.GetPhoneNumber() }},
	"address": {"address", func(u *tokenv1.User) string { return addressFromProto(u.GetAddress()).Problem() },
		func(a *account.User, u *tokenv1.User) { a.Address = addressFromProto(u.GetAddress()) }},
}

// setFields names the fields that are set in u, those that nobody may change included.
func setFields(u *tokenv1.User) []string {
	var fields []string
	for descriptor := range u.ProtoReflect().Range {
		fields = append(fields, string(descriptor.Name()))
	}
	slices.Sort(fields)
	return fields
}

// ChangePassword implements AccountService.
func (s *self) ChangePassword(ctx context.Context, req *tokenv1.ChangePasswordRequest) (*tokenv1.ChangePasswordResponse, error) {
	proof := proofOf(ctx, req.GetCurrentPassword())
	if err := s.Accounts.ChangePassword(ctx, proof, req.GetNewPassword()); err != nil {
		return nil, leavingAccount(err, proof.UserID)
	}
	return &tokenv1.ChangePasswordResponse{}, nil
}

// ChangeEmail implements AccountService.
func (s *self) ChangeEmail(ctx context.Context, req *tokenv1.ChangeEmailRequest) (*tokenv1.ChangeEmailResponse, error) {
	if err := checkPerson("", req.GetEmail()); err != nil {
		return nil, err
	}
	proof := proofOf(ctx, req.GetCurrentPassword())
	if err := s.Accounts.ChangeEmail(ctx, proof, req.GetEmail()); err != nil {
		return nil, leavingAccount(err, proof.UserID)
	}
	return &tokenv1.ChangeEmailResponse{}, nil
}

// VerifyEmail implements AccountService.
func (s *self) VerifyEmail(ctx context.Context, _ *tokenv1.VerifyEmailRequest) (*tokenv1.VerifyEmailResponse, error) {
	id := mesh.Caller(ctx).Subject
	if err := s.Accounts.VerifyEmail(ctx, id); err != nil {
		return nil, leavingAccount(err, id)
	}
	return &tokenv1.VerifyEmailResponse{}, nil
}

func proofOf(ctx context.Context, secret string) account.Proof {
	caller := mesh.Caller(ctx)
	return account.Proof{UserID: caller.Subject, SessionID: caller.SessionID, Password: secret}
}
