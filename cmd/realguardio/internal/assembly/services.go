package assembly

import (
	"context"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/services/customer"
	"github.com/realguardio/realguardio/services/securitysystem"
)

// NewCustomer builds the customer service.
func NewCustomer(ctx context.Context, env Environment, l Listeners) (_ *Part, err error) {
	p, err := newPart(ctx, Customer, env)
	if err != nil {
		return nil, err
	}
	defer p.closeUnless(&err)
	db, err := p.openDatabase(ctx, env, customer.Migrate)
	if err != nil {
		return nil, err
	}
	in, err := p.join(ctx, env, nil)
	if err != nil {
		return nil, err
	}
	accounts, err := in.dialAsService(Token, env.Peers.Token)
	if err != nil {
		return nil, err
	}
	systems, err := in.dialAsService(SecuritySystem, env.Peers.SecuritySystem)
	if err != nil {
		return nil, err
	}
	service, err := customer.New(customer.Config{
		DB: db, Accounts: tokenv1.NewAdminServiceClient(accounts), SecuritySystems: securitysystemv1.NewSecuritySystemServiceClient(systems),
		Registerer: p.Ops.Registry, Logger: p.log, Now: env.Now,
	})
	if err != nil {
		return nil, err
	}
	in.denied = service.Denied
	p.work("audit log", service.Run)
	return p, p.finish(in, env, l, service.Register)
}

// NewSecuritySystem builds the security system service.
func NewSecuritySystem(ctx context.Context, env Environment, l Listeners) (_ *Part, err error) {
	p, err := newPart(ctx, SecuritySystem, env)
	if err != nil {
		return nil, err
	}
	defer p.closeUnless(&err)
	db, err := p.openDatabase(ctx, env, securitysystem.Migrate)
	if err != nil {
		return nil, err
	}
	events, err := p.openRedis(env.RedisURL, false)
	if err != nil {
		return nil, err
	}
	in, err := p.join(ctx, env, nil)
	if err != nil {
		return nil, err
	}
	customers, err := in.dial(Customer, env.Peers.Customer, in.onward(Customer))
	if err != nil {
		return nil, err
	}
	accounts, err := in.dialAsService(Token, env.Peers.Token)
	if err != nil {
		return nil, err
	}
	service, err := securitysystem.New(securitysystem.Config{
		DB: db, Redis: events, Customers: customerv1.NewCustomerServiceClient(customers), Accounts: tokenv1.NewAdminServiceClient(accounts),
		Tracer: p.tracer, Registerer: p.Ops.Registry, Logger: p.log, Now: env.Now,
	})
	if err != nil {
		return nil, err
	}
	in.denied = service.Denied
	p.work("events", service.Run)
	return p, p.finish(in, env, l, service.Register)
}
