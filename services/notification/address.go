package notification

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

const (
	addressBatch = 16
	// addressLease is after how long a notice is taken up again whose replica has died.
	addressLease = time.Minute
	// askTimeout bounds one question to the customer service; a batch of them stays within the lease.
	askTimeout = 3 * time.Second
)

// Directory knows people.
type Directory interface {
	// Recipients returns the people who hold a role at a location; none when it is gone.
	Recipients(ctx context.Context, locationID string) ([]Recipient, error)
}

// addresser finds out whom notices concern, and makes a delivery for each of them.
type addresser struct {
	store     NoticeStore
	directory Directory
	retry     Retry
	// maxAge is after how long nobody is told of an event any more.
	maxAge time.Duration
	tracer *tracing.Tracer
	log    *slog.Logger
	now    func() time.Time
	// settled is called after deliveries were made.
	settled func()
}

// step works off notices that are due. One that fails is put off and holds up no other.
func (a *addresser) step(ctx context.Context) (more bool, err error) {
	now := a.now()
	claim, cancel := recording(ctx)
	defer cancel()
	notices, err := a.store.ClaimNotices(claim, now, now.Add(addressLease), addressBatch)
	if err != nil {
		return false, err
	}
	for _, n := range notices {
		if err := a.settle(ctx, n); err != nil {
			return false, err
		}
	}
	return len(notices) == addressBatch, nil
}

// settle makes the deliveries of a notice, or puts it off. It returns an error only where that could not be recorded.
func (a *addresser) settle(ctx context.Context, n Notice) error {
	ctx, span := a.tracer.Begin(mesh.WithTraceparent(ctx, n.Traceparent), tracing.Internal, "address notice",
		tracing.String("messaging.message.id", n.EventID))
	deliveries, err := a.address(ctx, n)
	span.End(err)
	record, cancel := recording(ctx)
	defer cancel()
	switch {
	case err == nil:
		if err := a.store.Settle(record, n.EventID, deliveries); err != nil {
			return err
		}
		if len(deliveries) > 0 {
			a.settled()
		}
		return nil
	case ctx.Err() != nil:
		// Cut off by our own end: due at once for whoever comes next.
		return a.store.PostponeNotice(record, n.EventID, a.now())
	default:
		// An alarm is never given up: whatever is wrong, somebody will put it right.
		pause := a.retry.Pause(n.Attempts)
		a.log.WarnContext(ctx, "not known yet whom an event concerns", "event", n.EventID, "attempts", n.Attempts,
			"again_in", pause, "error", err)
		return a.store.PostponeNotice(record, n.EventID, a.now().Add(pause))
	}
}

// address returns the deliveries of a notice.
func (a *addresser) address(ctx context.Context, n Notice) ([]Delivery, error) {
	now := a.now()
	if age := now.Sub(n.Time); age > a.maxAge {
		a.log.WarnContext(ctx, "an event is too old to tell anybody of", "event", n.EventID, "age", age)
		return nil, nil
	}
	recipients, err := a.directory.Recipients(ctx, n.LocationID)
	if err != nil {
		return nil, err
	}
	var deliveries []Delivery
	for _, r := range recipients {
		if r.Email == "" || !n.Concerns(r) {
			continue
		}
		deliveries = append(deliveries, Delivery{
			ID: resourceid.New("ntf"), EventID: n.EventID, UserID: r.UserID, Channel: Email, Name: r.Name, Address: r.Email,
			Subject: n.Subject(), State: Pending, CreateTime: now,
		})
	}
	return deliveries, nil
}

// customerService is the [Directory] of the customer service, asked as this service.
type customerService struct {
	client customerv1.CustomerServiceClient
}

func (c customerService) Recipients(ctx context.Context, locationID string) ([]Recipient, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := c.client.ListRecipients(ctx, &customerv1.ListRecipientsRequest{LocationId: locationID})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask whom a location concerns: %w", err)
	}
	var recipients []Recipient
	for _, r := range answer.GetRecipients() {
		recipients = append(recipients, Recipient{UserID: r.GetUserId(), Name: r.GetName(), Email: r.GetEmail()})
	}
	return recipients, nil
}
