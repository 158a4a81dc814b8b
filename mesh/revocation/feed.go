package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
)

const (
	firstPause = 20 * time.Millisecond
	// longPause is short because nothing that is revoked meanwhile is known here.
	longPause = 500 * time.Millisecond
)

// errGap says that the feed has left something out, or numbers anew.
var errGap = errors.New("revocation: the feed has a gap")

// errRoom says that there is room again for what did not fit.
var errRoom = errors.New("revocation: the set has room again")

// Feed keeps a [Set] current from the RevocationService of the part that ends tokens.
type Feed struct {
	conn   grpc.ClientConnInterface
	client meshv1.RevocationServiceClient
	set    *Set
	// epoch and last are how far the set has got, and made is when the revocation there was made.
	epoch string
	last  int64
	made  *timestamppb.Timestamp
	// short tells that the set had no room for all since the last start.
	short bool

	once   sync.Once
	synced chan struct{}
}

// NewFeed makes a feed for set over conn, which carries this part's own token (mesh.AsService).
func NewFeed(conn grpc.ClientConnInterface, set *Set) *Feed {
	return &Feed{conn: conn, client: meshv1.NewRevocationServiceClient(conn), set: set, synced: make(chan struct{})}
}

// Synced is closed when the set has caught up for the first time.
func (f *Feed) Synced() <-chan struct{} { return f.synced }

// Run follows the feed until ctx ends, and returns nil. It comes back after every break, from where it was. Call it once.
func (f *Feed) Run(ctx context.Context) error {
	log, pause, lost := f.set.cfg.Logger, firstPause, false
	for {
		heard, err := f.follow(ctx, func() {
			if lost {
				log.InfoContext(ctx, "the revocation feed is back")
			}
			lost = false
		})
		if ctx.Err() != nil {
			return nil
		}
		// A stream that worked ends at the latest with its token; only one that does not come back is worth a warning.
		level := slog.LevelDebug
		if heard {
			pause = firstPause
		} else {
			lost, level = true, slog.LevelWarn
		}
		log.LogAttrs(ctx, level, "the revocation feed broke", slog.Any("error", err), slog.Bool("stale", f.set.Stale()))
		select {
		case <-ctx.Done():
			return nil
		// Spread, so that all parts do not come back to a restarted issuer in one moment.
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, longPause)
	}
}

// follow watches until the stream breaks. heard tells whether the set caught up meanwhile.
func (f *Feed) follow(ctx context.Context, caughtUp func()) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A peer that is silent is as good as gone, even while the connection stands.
	silence := time.AfterFunc(f.set.cfg.MaxSilence, func() { cancel(errors.New("revocation: the feed is silent")) })
	defer silence.Stop()

	// grpc's own pauses between its attempts to connect grow longer than ours.
	if conn, ok := f.conn.(interface{ ResetConnectBackoff() }); ok {
		conn.ResetConnectBackoff()
	}
	stream, err := f.client.Watch(ctx, &meshv1.WatchRequest{After: f.last, Epoch: f.epoch, AfterTime: f.made})
	if err != nil {
		return false, fmt.Errorf("watch revocations: %w", err)
	}
	replaying := true
	for {
		message, err := stream.Recv()
		if err != nil {
			return heard, fmt.Errorf("watch revocations: %w", errors.Join(err, context.Cause(ctx)))
		}
		silence.Reset(f.set.cfg.MaxSilence)
		replaying = replaying || message.GetReset_()
		current, err := f.apply(message, replaying)
		if err != nil {
			f.last, f.epoch, f.made = 0, "", nil
			return heard, err
		}
		if !current {
			continue
		}
		replaying = false
		f.set.Complete()
		f.once.Do(func() { close(f.synced) })
		if !heard {
			heard = true
			caughtUp()
		}
	}
}

// apply takes in one message, and reports whether the set is complete after it.
//
// What was revoked stays so until it expires, even when the feed starts over: forgetting it before the replay has named
// it again would let ended tokens in for that moment.
func (f *Feed) apply(message *meshv1.WatchResponse, replaying bool) (current bool, err error) {
	switch {
	case message.GetReset_():
		f.epoch, f.last, f.short = message.GetEpoch(), 0, false
		f.set.resyncs.Add(1)
	case f.epoch == "":
		f.epoch = message.GetEpoch()
	case message.GetEpoch() != f.epoch:
		return false, fmt.Errorf("%w: epoch %q became %q", errGap, f.epoch, message.GetEpoch())
	}
	entries := make([]Entry, 0, len(message.GetRevocations()))
	for _, r := range message.GetRevocations() {
		// A replay leaves out what has expired meanwhile; after it, every number comes.
		if r.GetNumber() <= f.last || !replaying && r.GetNumber() != f.last+1 {
			return false, fmt.Errorf("%w: %d came after %d", errGap, r.GetNumber(), f.last)
		}
		entries = append(entries, entry(r))
		f.last = r.GetNumber()
	}
	f.made = message.GetLastTime()
	if err := f.take(entries, replaying); err != nil {
		return false, err
	}
	current, err = f.reached(message, replaying)
	return current && !f.short, err
}

// take adds entries to the set. What there is no room for makes the set stale, since nothing is said to be complete any
// more, until there is and all of it has come again.
func (f *Feed) take(entries []Entry, replaying bool) error {
	if f.short && f.set.roomy() {
		return errRoom
	}
	if err := f.set.Add(entries...); err != nil {
		if !f.short {
			f.set.cfg.Logger.Error("the set of revocations is full: sensitive methods close until there is room", "entries", f.set.Len())
		}
		f.short = true
	}
	if at := f.made; !replaying && len(entries) > 0 && at.IsValid() {
		f.set.lag.Store(max(0, int64(f.set.cfg.Now().Sub(at.AsTime()))))
	}
	return nil
}

// reached reports whether a message brought the set to the head of the log.
func (f *Feed) reached(message *meshv1.WatchResponse, replaying bool) (current bool, err error) {
	switch head := message.GetHead(); {
	case f.last == head:
		return true, nil
	case f.last < head && len(message.GetRevocations()) > 0:
		return false, nil // more will follow
	case f.last < head && replaying:
		// A heartbeat: nothing is left to send, so that the numbers up to head have expired.
		f.last = head
		return true, nil
	default:
		return false, fmt.Errorf("%w: at %d, but the head is %d", errGap, f.last, head)
	}
}

// entry reads a revocation. A kind that this version does not know becomes one that the set leaves out; its number
// still counts.
func entry(r *meshv1.Revocation) Entry {
	e := Entry{Kind: kinds, Value: r.GetValue()}
	switch r.GetKind() {
	case meshv1.RevocationKind_REVOCATION_KIND_TOKEN:
		e.Kind = Token
	case meshv1.RevocationKind_REVOCATION_KIND_SESSION:
		e.Kind = Session
	case meshv1.RevocationKind_REVOCATION_KIND_GRANT:
		e.Kind = Grant
	case meshv1.RevocationKind_REVOCATION_KIND_SUBJECT:
		e.Kind, e.BelowEpoch = Subject, r.GetBelowEpoch()
	case meshv1.RevocationKind_REVOCATION_KIND_CLIENT:
		e.Kind = Client
	case meshv1.RevocationKind_REVOCATION_KIND_KEY:
		e.Kind = Key
	}
	if r.GetExpireTime().IsValid() {
		e.Expires = r.GetExpireTime().AsTime()
	}
	return e
}
