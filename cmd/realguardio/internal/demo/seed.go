package demo

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
)

// Seeder builds the companies of the demo, each step as the person who would do it.
type Seeder struct {
	// Gateway is the public gRPC interface.
	Gateway grpc.ClientConnInterface
	// Token signs a person in and returns their access token.
	Token func(ctx context.Context, username string) (string, error)
	// Valid reports whether a client of this id and secret can still get a token.
	Valid func(ctx context.Context, clientID, secret string) (bool, error)
	// Known is what an earlier run has left; its secrets go on being used.
	Known *readyfile.File
}

// Made is what the seeding was told only once.
type Made struct {
	APIKeys []readyfile.APIKey
	Panels  []readyfile.Client
}

// Run makes what is missing, and nothing twice.
func (s *Seeder) Run(ctx context.Context) (Made, error) {
	admin, err := s.as(ctx, Admin)
	if err != nil {
		return Made{}, err
	}
	made := make([]Made, len(companies))
	group, ctx := errgroup.WithContext(ctx)
	existing, err := all(func(token string) ([]*customerv1.Customer, string, error) {
		r, err := s.customers().ListCustomers(admin, &customerv1.ListCustomersRequest{PageSize: 200, PageToken: token})
		return r.GetCustomers(), r.GetNextPageToken(), err
	})
	if err != nil {
		return Made{}, fmt.Errorf("list the customers: %w", err)
	}
	for i, c := range companies {
		group.Go(func() error {
			id, err := s.customer(admin, c, existing)
			if err == nil {
				made[i], err = s.company(ctx, c, id)
			}
			if err != nil {
				return fmt.Errorf("seed %s: %w", c.name, err)
			}
			return nil
		})
	}
	err = group.Wait()
	var sum Made
	for _, m := range made {
		sum.APIKeys, sum.Panels = append(sum.APIKeys, m.APIKeys...), append(sum.Panels, m.Panels...)
	}
	return sum, err
}

func (s *Seeder) customers() customerv1.CustomerServiceClient {
	return customerv1.NewCustomerServiceClient(s.Gateway)
}

func (s *Seeder) systems() securitysystemv1.SecuritySystemServiceClient {
	return securitysystemv1.NewSecuritySystemServiceClient(s.Gateway)
}

// as returns a context whose calls are made by a person.
func (s *Seeder) as(ctx context.Context, username string) (context.Context, error) {
	token, err := s.Token(ctx, username)
	if err != nil {
		return nil, fmt.Errorf("sign in %s: %w", username, err)
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), nil
}

func (s *Seeder) customer(admin context.Context, c company, existing []*customerv1.Customer) (string, error) {
	if i := slices.IndexFunc(existing, func(e *customerv1.Customer) bool { return e.GetName() == c.name }); i >= 0 {
		return existing[i].GetId(), nil
	}
	r, err := s.customers().CreateCustomer(admin, &customerv1.CreateCustomerRequest{Name: c.name, AdminEmail: c.admin, AdminName: nameOf(c.admin)})
	if err != nil {
		return "", fmt.Errorf("create the customer: %w", err)
	}
	return r.GetCustomer().GetId(), nil
}

// company does what its admin would do. The steps need what earlier ones have made.
func (s *Seeder) company(ctx context.Context, c company, customerID string) (Made, error) {
	ctx, err := s.as(ctx, c.admin)
	if err != nil {
		return Made{}, err
	}
	b := &builder{Seeder: s, ctx: ctx, company: c, customerID: customerID}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"locations", b.addLocations},
		{"employees", b.addEmployees},
		{"teams", b.addTeams},
		{"security systems", b.addSystems},
		{"alarm panel", b.addPanel},
		{"API key", b.addAPIKey},
		{"grants", b.addGrants},
	} {
		if err := step.do(); err != nil {
			return b.made, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return b.made, nil
}

func nameOf(email string) string {
	return accounts[slices.IndexFunc(accounts, func(a account) bool { return a.email == email })].name
}

// all reads every page of a list.
func all[T any](page func(token string) ([]T, string, error)) ([]T, error) {
	var everything []T
	for token := ""; ; {
		some, next, err := page(token)
		if err != nil {
			return nil, err
		}
		everything = append(everything, some...)
		if token = next; token == "" {
			return everything, nil
		}
	}
}

// missing returns what is wanted and not yet there, by name, and completes ids with what is there.
func missing[W, E any](wanted []W, name func(W) string, existing []E, nameAndID func(E) (string, string), ids map[string]string) []W {
	for _, e := range existing {
		name, id := nameAndID(e)
		ids[name] = id
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(w W) bool { return ids[name(w)] != "" })
}
