package notification

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/internal/outbox"
)

// NoticeStore keeps what people are to be told of, from the stream until it is known whom. Each method is atomic.
type NoticeStore interface {
	// Position returns how far a stream has been taken; zero when nothing was.
	Position(ctx context.Context, stream string) (outbox.Position, error)
	// Take stores notices and that the stream has been taken up to a position. Notices of events that were taken
	// before are left as they are, and a position never goes back.
	Take(ctx context.Context, stream string, to outbox.Position, notices []Notice, due time.Time) error
	// ClaimNotices returns at most n notices that are due, and makes them due again at until; each attempt is counted.
	ClaimNotices(ctx context.Context, now, until time.Time, n int) ([]Notice, error)
	// Settle stores the deliveries of a notice, which is then done with. Deliveries to the same person over the same
	// channel are stored once.
	Settle(ctx context.Context, eventID string, deliveries []Delivery) error
	// PostponeNotice sets when to try again.
	PostponeNotice(ctx context.Context, eventID string, due time.Time) error
	// Purge deletes at most n settled notices of events before a time, with their deliveries, unless one is pending. It
	// returns how many it deleted.
	Purge(ctx context.Context, before time.Time, n int) (int64, error)
}

// DeliveryStore keeps messages until they are sent or given up, and what has become of them. Each method is atomic.
type DeliveryStore interface {
	// ClaimDeliveries returns at most n pending deliveries that are due with their notices, and makes them due again at
	// until, when whoever claimed them has died; each attempt is counted.
	ClaimDeliveries(ctx context.Context, now, until time.Time, n int) ([]Claim, error)
	// Finish records that a pending delivery is Sent or Failed.
	Finish(ctx context.Context, id string, state State, at time.Time, failure string) error
	// PostponeDelivery sets when to try again.
	PostponeDelivery(ctx context.Context, id string, due time.Time, failure string) error
	// DeliveriesTo returns the first n deliveries to a person with ids before one, newest first. The empty id is the end.
	DeliveriesTo(ctx context.Context, userID, before string, n int) ([]Delivery, error)
}

// Claim is a delivery to be tried, and what it tells of.
type Claim struct {
	Delivery Delivery
	Notice   Notice
}
