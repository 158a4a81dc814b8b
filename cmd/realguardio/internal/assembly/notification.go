package assembly

import (
	"context"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/services/notification"
)

// NotificationConfig is what the notification service is told besides.
type NotificationConfig struct {
	Environment
	Mail notification.MailConfig
}

// NewNotification builds the notification service.
func NewNotification(ctx context.Context, cfg NotificationConfig, l Listeners) (_ *Part, err error) {
	p, err := newPart(ctx, Notification, cfg.Environment)
	if err != nil {
		return nil, err
	}
	defer p.closeUnless(&err)
	db, err := p.openDatabase(ctx, cfg.Environment, notification.Migrate)
	if err != nil {
		return nil, err
	}
	events, err := p.openRedis(cfg.RedisURL, false)
	if err != nil {
		return nil, err
	}
	in, err := p.join(ctx, cfg.Environment, nil)
	if err != nil {
		return nil, err
	}
	customers, err := in.dialAsService(Customer, cfg.Peers.Customer)
	if err != nil {
		return nil, err
	}
	service, err := notification.New(notification.Config{
		DB: db, Redis: events, Customers: customerv1.NewCustomerServiceClient(customers), Mail: cfg.Mail,
		Tracer: p.tracer, Registerer: p.Ops.Registry, Logger: p.log, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	in.denied = service.Denied
	p.work("deliveries", service.Run)
	return p, p.finish(in, cfg.Environment, l, service.Register)
}
