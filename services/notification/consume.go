package notification

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protojson"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/outbox"
)

const (
	takeBatch = 64
	// takePoll is how often to look for events. A read that blocks would be a little faster, but finds out only after many
	// seconds that its server has gone.
	takePoll = 200 * time.Millisecond
)

// consumer takes events from the security system service's stream. Its position is kept in the same transaction as what
// it took, so that an event is taken once, also from a stream that was lost and that its source has written anew.
type consumer struct {
	redis   redis.UniversalClient
	stream  string
	store   NoticeStore
	tracer  *tracing.Tracer
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
	// taken is called after notices were stored.
	taken func()
}

// step takes the next events.
func (c *consumer) step(ctx context.Context) (more bool, err error) {
	position, err := c.store.Position(ctx, c.stream)
	if err != nil {
		return false, err
	}
	asked := c.now()
	answer, err := c.redis.XRead(ctx, &redis.XReadArgs{
		Streams: []string{c.stream, position.String()}, Count: takeBatch, Block: -1,
	}).Result()
	if errors.Is(err, redis.Nil) || err == nil && (len(answer) == 0 || len(answer[0].Messages) == 0) {
		c.metrics.caughtUp.Store(asked.UnixNano())
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read stream %s: %w", c.stream, err)
	}
	b := batch{position: position}
	for _, message := range answer[0].Messages {
		if err := c.read(ctx, &b, message); err != nil {
			return false, err
		}
	}
	err = c.store.Take(ctx, c.stream, b.position, b.notices, c.now())
	for _, span := range b.spans {
		span.End(err)
	}
	if err != nil {
		return false, err
	}
	c.metrics.events.WithLabelValues("taken").Add(float64(b.taken))
	if len(b.notices) > 0 {
		c.taken()
	}
	more = len(answer[0].Messages) == takeBatch
	if !more {
		c.metrics.caughtUp.Store(asked.UnixNano())
	}
	return more, nil
}

// batch is what was read and is taken at once.
type batch struct {
	// position is that of the last event that was read.
	position outbox.Position
	// taken counts the events that could be read, whether they are of use to anybody or not.
	taken   int
	notices []Notice
	spans   []tracing.Span
}

// read adds an event to b. It fails where it cannot be told where in the stream the event stands.
func (c *consumer) read(ctx context.Context, b *batch, message redis.XMessage) error {
	envelope, at, err := outbox.Decode(message)
	if at == (outbox.Position{}) {
		return err
	}
	if b.position != (outbox.Position{}) && !at.Follows(b.position) {
		// Its source publishes again what it still has, so this was purged there: it will not come any more.
		c.metrics.events.WithLabelValues("lost").Inc()
		c.log.ErrorContext(ctx, "events were lost from the stream", "stream", c.stream,
			"after", b.position.String(), "before", at.String())
	}
	b.position = at
	notice, ok, noticeErr := noticeOf(envelope)
	if err := errors.Join(err, noticeErr); err != nil {
		// Nobody will ever be able to read it.
		c.metrics.events.WithLabelValues("unreadable").Inc()
		c.log.ErrorContext(ctx, "an event cannot be read and is skipped", "stream", c.stream, "position", at.String(), "error", err)
		return nil
	}
	b.taken++
	if ok {
		b.notices = append(b.notices, notice)
		b.spans = append(b.spans, c.begin(ctx, notice))
	}
	return nil
}

// begin begins the span of taking an event, in the trace of what caused it.
func (c *consumer) begin(ctx context.Context, n Notice) tracing.Span {
	_, span := c.tracer.Begin(mesh.WithTraceparent(ctx, n.Traceparent), tracing.Consumer, "process "+c.stream,
		tracing.String("messaging.system", "redis"), tracing.String("messaging.operation.name", "process"),
		tracing.String("messaging.destination.name", c.stream), tracing.String("messaging.message.id", n.EventID))
	return span
}

// kinds are the events that people are told of.
var kinds = map[securitysystemv1.EventType]Kind{
	securitysystemv1.EventType_ALARM_RAISED:    Alarm,
	securitysystemv1.EventType_SYSTEM_ARMED:    Armed,
	securitysystemv1.EventType_SYSTEM_DISARMED: Disarmed,
}

// noticeOf returns what people are to be told of an event; ok is false when that is nothing.
func noticeOf(e outbox.Envelope) (n Notice, ok bool, err error) {
	var changed securitysystemv1.SecuritySystemChanged
	if !strings.HasPrefix(e.Type, string(changed.ProtoReflect().Descriptor().FullName())) {
		return Notice{}, false, nil
	}
	// A newer service may say more than is known here.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(e.Data, &changed); err != nil {
		return Notice{}, false, fmt.Errorf("decode event %s: %w", e.ID, err)
	}
	event := changed.GetEvent()
	kind, ok := kinds[event.GetType()]
	if !ok {
		return Notice{}, false, nil
	}
	if changed.GetLocationId() == "" {
		return Notice{}, false, fmt.Errorf("event %s has no location", e.ID)
	}
	n = Notice{
		EventID: e.ID, Kind: kind, Time: e.Time, LocationID: changed.GetLocationId(), LocationName: changed.GetLocationName(),
		Detail: event.GetDetail(), ActorID: event.GetActor().GetId(), ActorName: event.GetActor().GetName(),
		Traceparent: e.Traceparent,
	}
	switch kind {
	case Alarm:
		n.Alarm = strings.ToLower(event.GetAlarm().String())
	case Armed:
		n.Mode = strings.ToLower(event.GetMode().String())
	}
	return n, true, nil
}
