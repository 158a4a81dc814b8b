package mesh

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Limits bound what all callers of a server together may cost it. What is beyond them is refused before anything is
// verified: calls and streams with UNAVAILABLE and the reason OVERLOADED, connections by closing them.
type Limits struct {
	// Calls is how many calls that are not streams may be in progress. Default: 1000.
	Calls int
	// Queue is how many more may wait for their turn, and QueueTime how long each. Default: 1000, 100 milliseconds.
	Queue     int
	QueueTime time.Duration
	// Streams is how many streams may be open. Default: 10,000. Health checks, which are never refused for calls, may have
	// as many of their own.
	Streams int
	// Connections is how many connections may be open. Default: 10,000.
	Connections int
	// Handshakes is how many connections may be in their handshake. One more ends the oldest, which is the least likely to
	// be an honest one. Default: 500.
	Handshakes int
	// HandshakeTime is how long a handshake may take. Default: 10 seconds.
	HandshakeTime time.Duration
}

// DefaultMaxStreams is the default of [ServerConfig.MaxStreams].
const DefaultMaxStreams = 1000

// DefaultLimits are those of a server that is told none.
func DefaultLimits() Limits {
	return Limits{
		Calls: 1000, Queue: 1000, QueueTime: 100 * time.Millisecond, Streams: 10_000,
		Connections: 10_000, Handshakes: 500, HandshakeTime: 10 * time.Second,
	}
}

func (l *Limits) complete() {
	d := DefaultLimits()
	setDefault(&l.Calls, d.Calls)
	setDefault(&l.Queue, d.Queue)
	setDefault(&l.QueueTime, d.QueueTime)
	setDefault(&l.Streams, d.Streams)
	setDefault(&l.Connections, d.Connections)
	setDefault(&l.Handshakes, d.Handshakes)
	setDefault(&l.HandshakeTime, d.HandshakeTime)
}

// What a server has shed, as [ServerConfig.Shed] is told.
const (
	ShedCall       = "call"
	ShedStream     = "stream"
	ShedConnection = "connection"
	ShedHandshake  = "handshake"
	// ShedFlood is a connection that was ended for what came on it: no end of frames that carry nothing.
	ShedFlood = "flood"
)

// causeOverloaded is the cause of what is refused for lack of room.
const causeOverloaded = "overloaded"

// tellShedding is how often the log says that there is too much to do.
const tellShedding = 10 * time.Second

// load lets in as many calls as there is room for.
type load struct {
	rules                  map[string]*Rule
	calls, streams, probes *gate
	refused                *refusal
	shed                   func(what string)
	log                    *slog.Logger
	now                    func() time.Time
	told                   atomic.Int64
	count                  atomic.Int64
}

func newLoad(cfg ServerConfig, rules map[string]*Rule) *load {
	overloaded := refuse(codes.Unavailable, ReasonOverloaded, "the server has too much to do", nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	l := &load{rules: rules, refused: because(causeOverloaded, overloaded), shed: cfg.Shed, log: cfg.Logger.With("part", cfg.Name), now: cfg.Now}
	l.calls = newGate(cfg.Limits.Calls, cfg.Limits.Queue, cfg.Limits.QueueTime)
	l.streams = newGate(cfg.Limits.Streams, 0, 0)
	l.probes = newGate(cfg.Limits.Streams, 0, 0)
	return l
}

// Load is what a server has under way.
type Load struct {
	// Calls are those in progress that are no streams, of CallLimit at most; Waiting are more that wait for their turn.
	Calls, CallLimit, Waiting int64
	// Streams are those that are open, of StreamLimit at most. Health checks are none of them.
	Streams, StreamLimit int64
}

// Load says what the server has under way. It takes no lock.
func (s *Server) Load() Load {
	calls, streams := s.load.calls, s.load.streams
	return Load{
		Calls: calls.inside.Load(), CallLimit: calls.limit, Waiting: calls.waiting.Load(),
		Streams: streams.inside.Load(), StreamLimit: streams.limit,
	}
}

func (l *load) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if isHealth(info.FullMethod) {
		return next(ctx, req)
	}
	if !l.calls.enter(ctx) {
		return nil, l.refuse(ctx, ShedCall)
	}
	defer l.calls.leave()
	return next(ctx, req)
}

func (l *load) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	g, what := l.streams, ShedStream
	switch rule := l.rules[info.FullMethod]; {
	case isHealth(info.FullMethod):
		g = l.probes
	case rule != nil && !rule.Streaming: // on its way through an edge
		g, what = l.calls, ShedCall
	}
	if !g.enter(ss.Context()) {
		return l.refuse(ss.Context(), what)
	}
	defer g.leave()
	return next(srv, ss)
}

// refuse counts a refusal. The log has one line for many: there is no time to write each.
func (l *load) refuse(ctx context.Context, what string) error {
	l.shed(what)
	l.count.Add(1)
	now, told := l.now().UnixNano(), l.told.Load()
	if now-told >= int64(tellShedding) && l.told.CompareAndSwap(told, now) {
		l.log.LogAttrs(ctx, slog.LevelWarn, "too much to do: refusing calls", slog.Int64("refused", l.count.Swap(0)))
	}
	return l.refused
}

func isHealth(method string) bool { return strings.HasPrefix(method, "/grpc.health.v1.Health/") }
