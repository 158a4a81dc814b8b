package notification

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/mail"
)

const (
	// sendAtOnce is how many messages are sent at a time.
	sendAtOnce = 4
	// sendLease is after how long a delivery is taken up again whose replica has died. Sending takes much less.
	sendLease = 2 * time.Minute
)

// Sender delivers messages.
type Sender interface {
	// Send returns nil once the message is out of our hands, an error that wraps mail.ErrRefused when trying again is
	// pointless, and another one otherwise.
	Send(ctx context.Context, m mail.Message) error
}

// deliverer sends messages that are due. A message is claimed before it is sent and finished after, so that it is sent
// again only when the process dies in between, or cannot write; it then has the same Message-ID.
type deliverer struct {
	store   DeliveryStore
	writer  writer
	sender  Sender
	retry   Retry
	tracer  *tracing.Tracer
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
}

// step sends what is due, sendAtOnce messages at most.
func (d *deliverer) step(ctx context.Context) (more bool, err error) {
	now := d.now()
	claim, cancel := recording(ctx)
	defer cancel()
	claims, err := d.store.ClaimDeliveries(claim, now, now.Add(sendLease), sendAtOnce)
	if err != nil {
		return false, err
	}
	failures := make([]error, len(claims))
	var sending sync.WaitGroup
	for i, claim := range claims {
		sending.Go(func() { failures[i] = d.deliver(ctx, claim) })
	}
	sending.Wait()
	return len(claims) == sendAtOnce, errors.Join(failures...)
}

// deliver sends one message and records what has become of it. It returns an error only where that could not be
// recorded.
func (d *deliverer) deliver(ctx context.Context, c Claim) error {
	ctx, span := d.tracer.Begin(mesh.WithTraceparent(ctx, c.Notice.Traceparent), tracing.Client, "send mail",
		tracing.String("messaging.system", "smtp"), tracing.String("messaging.message.id", c.Delivery.ID))
	message, err := d.writer.write(c.Delivery, c.Notice)
	if err == nil {
		err = d.sender.Send(ctx, message)
	}
	span.End(err)
	record, cancel := recording(ctx)
	defer cancel()
	id, attempts := c.Delivery.ID, c.Delivery.Attempts
	failure := ""
	if err != nil {
		failure = strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "")
	}
	switch {
	case err == nil:
		d.metrics.messages.WithLabelValues("sent").Inc()
		return d.store.Finish(record, id, Sent, d.now(), "")
	case ctx.Err() != nil && !errors.Is(err, mail.ErrRefused):
		// Cut off by our own end, which is no fault of the message's: due at once for whoever comes next.
		return d.store.PostponeDelivery(record, id, d.now(), failure)
	case errors.Is(err, mail.ErrRefused), attempts >= d.retry.Attempts:
		d.metrics.messages.WithLabelValues("given_up").Inc()
		// What the server said may repeat the address: it stays in the database.
		d.log.ErrorContext(ctx, "a message was given up", "delivery", id, "event", c.Notice.EventID, "attempts", attempts)
		return d.store.Finish(record, id, Failed, d.now(), failure)
	default:
		d.metrics.messages.WithLabelValues("postponed").Inc()
		pause := d.retry.Pause(attempts)
		d.log.WarnContext(ctx, "a message could not be sent", "delivery", id, "attempts", attempts, "again_in", pause)
		return d.store.PostponeDelivery(record, id, d.now().Add(pause), failure)
	}
}
