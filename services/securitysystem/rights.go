package securitysystem

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
)

// platformAdminRole is the role in the token of those who run the platform.
const platformAdminRole = "REALGUARDIO_ADMIN"

// fetchTimeout bounds how long a caller waits for a customer service that does not answer.
const fetchTimeout = 3 * time.Second

// RightsSource says what callers may do. It fails closed: where it cannot tell, it returns a status, UNAVAILABLE when a
// retry may help.
type RightsSource interface {
	// RightsOf returns the rights of the caller of the RPC that ctx belongs to.
	RightsOf(ctx context.Context, caller mesh.Identity) (Rights, error)
}

// Directory knows the locations of customers.
type Directory interface {
	// Location returns NOT_FOUND when there is none that the caller of the RPC may see.
	Location(ctx context.Context, id string) (Location, error)
}

// Location is where a system is installed.
type Location struct {
	ID         string
	CustomerID string
	Name       string
}

// customerService asks the owner of grants and locations at every request, with the caller's own token: a grant that was
// withdrawn counts no more at the next request, and who cannot ask the owner gets no answer from here.
type customerService struct {
	client customerv1.CustomerServiceClient
}

func (c customerService) RightsOf(ctx context.Context, caller mesh.Identity) (Rights, error) {
	if caller.Kind == mesh.KindUser && caller.HasRole(platformAdminRole) {
		return PlatformAdmin(), nil
	}
	asked, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	answer, err := c.client.ListMyGrants(asked, &customerv1.ListMyGrantsRequest{})
	if err != nil {
		return Rights{}, c.failure(ctx, err)
	}
	grants := make([]Grant, 0, len(answer.GetGrants()))
	for _, g := range answer.GetGrants() {
		grants = append(grants, Grant{
			Roles: rolesFrom(g.GetRole()), CustomerID: g.GetCustomerId(), LocationID: g.GetLocationId(),
		})
	}
	return RightsFrom(grants), nil
}

func (c customerService) Location(ctx context.Context, id string) (Location, error) {
	asked, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	answer, err := c.client.LookupLocation(asked, &customerv1.LookupLocationRequest{LocationId: id})
	if err != nil {
		return Location{}, c.failure(ctx, err)
	}
	l := answer.GetLocation()
	return Location{ID: l.GetId(), CustomerID: l.GetCustomerId(), Name: l.GetName()}, nil
}

func (customerService) failure(ctx context.Context, err error) error {
	if down(ctx, err) {
		return mesh.Unavailable("the customer service")
	}
	return err
}

// down tells whether a call failed because its server could not be reached or did not answer in time, while the caller of
// ours still waits.
func down(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)
}

// rolesFrom returns no role for one that this service does not know.
func rolesFrom(role customerv1.Role) Roles {
	switch role {
	case customerv1.Role_COMPANY_ROLE_ADMIN:
		return CompanyAdmin
	case customerv1.Role_SECURITY_SYSTEM_ARMER:
		return Armer
	case customerv1.Role_SECURITY_SYSTEM_DISARMER:
		return Disarmer
	case customerv1.Role_SECURITY_SYSTEM_VIEWER:
		return Viewer
	default:
		return 0
	}
}
