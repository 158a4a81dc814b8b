package customer

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
)

// Accounts is what the service asks of the identity provider. tokenv1.AdminServiceClient has it.
type Accounts interface {
	ProvisionUser(context.Context, *tokenv1.ProvisionUserRequest, ...grpc.CallOption) (*tokenv1.ProvisionUserResponse, error)
	CreateApiKey(context.Context, *tokenv1.CreateApiKeyRequest, ...grpc.CallOption) (*tokenv1.CreateApiKeyResponse, error)
	ListApiKeys(context.Context, *tokenv1.ListApiKeysRequest, ...grpc.CallOption) (*tokenv1.ListApiKeysResponse, error)
	RotateApiKey(context.Context, *tokenv1.RotateApiKeyRequest, ...grpc.CallOption) (*tokenv1.RotateApiKeyResponse, error)
	RevokeApiKey(context.Context, *tokenv1.RevokeApiKeyRequest, ...grpc.CallOption) (*tokenv1.RevokeApiKeyResponse, error)
}

// SecuritySystems is what the service asks of the security system service. Its client has it.
type SecuritySystems interface {
	HasSystemAt(context.Context, *securitysystemv1.HasSystemAtRequest, ...grpc.CallOption) (*securitysystemv1.HasSystemAtResponse, error)
}

const employeeRole = "REALGUARDIO_CUSTOMER_EMPLOYEE"

// provision returns the user with that e-mail, who is made when there is none. field is the request's field that holds
// the e-mail.
func (s *Service) provision(ctx context.Context, field, email, name string) (userID string, err error) {
	answer, err := s.accounts.ProvisionUser(ctx, &tokenv1.ProvisionUserRequest{
		Email: email,
		Name:  name,
		Roles: []string{employeeRole},
	})
	if status.Code(err) == codes.InvalidArgument {
		return "", mesh.InvalidField(field, "is not an address that an account can have")
	}
	if err != nil {
		return "", remote(ctx, "the identity provider", "provision user", err)
	}
	return answer.GetUser().GetId(), nil
}

// remote turns the refusal of a call that this service made for itself into what its own caller may know: that
// something is down. That something refuses this service is a fault, and no refusal of the caller.
func remote(ctx context.Context, dependency, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return &down{fmt.Errorf("%s: %w", doing, err), dependency}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// down tells the caller which dependency cannot be reached, and the log why.
type down struct {
	error
	dependency string
}

// GRPCStatus makes it a status.
func (d *down) GRPCStatus() *status.Status { return status.Convert(mesh.Unavailable(d.dependency)) }

func (d *down) Unwrap() error { return d.error }
