package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// errMoved means that the stream does not end where it was expected to: somebody has written to it, or it was lost.
var errMoved = errors.New("the stream ends elsewhere")

// appendAfter adds an entry where the stream still ends at an expected id, "" for a stream that is empty or gone, and tells
// whether it did. Looking and adding must be one step: a stream that is lost in between would take a later entry first, and
// then none of those before it.
//
// A stream whose last entries were deleted one by one or trimmed away remembers their ids and takes none of them again. It
// is dropped, which makes it one that is lost as a whole. Redis gives that error no code of its own.
//
// KEYS: stream. ARGV: expected id, id, approximate length to keep, field and value in turn.
var appendAfter = redis.NewScript(`
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local id = ''
if #last > 0 then id = last[1][1] end
if id ~= ARGV[1] then return 0 end
local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[2], unpack(ARGV, 4))
if type(added) ~= 'table' or not added.err then return 1 end
if not string.find(added.err, 'equal or smaller', 1, true) then return added end
redis.call('DEL', KEYS[1])
return 0`)

// end returns where the stream ends, or the zero position where it is empty or gone.
func (r *Relay) end(ctx context.Context) (Position, error) {
	entries, err := r.cfg.Redis.XRevRangeN(ctx, r.stream, "+", "-", 1).Result()
	if err != nil {
		return Position{}, fmt.Errorf("read the end of stream %s: %w", r.stream, err)
	}
	if len(entries) == 0 {
		return Position{}, nil
	}
	return ParsePosition(entries[0].ID)
}

// append writes e at position p, which is after end, and returns errMoved where the stream does not end there. The
// condition makes the write happen once: neither a retry after a lost answer nor a relay without a lease can repeat an
// event or put it out of order.
func (r *Relay) append(ctx context.Context, e Event, end, p Position) error {
	values, err := entry(r.source, e, p)
	if err != nil {
		return err
	}
	expected := ""
	if end != (Position{}) {
		expected = end.String()
	}
	args := append([]any{expected, p.String(), r.cfg.MaxLen}, values...)
	done, err := appendAfter.Run(ctx, r.cfg.Redis, []string{r.stream}, args...).Bool()
	if err != nil {
		return fmt.Errorf("append to stream %s: %w", r.stream, err)
	}
	if !done {
		return errMoved
	}
	return nil
}

// lossy tells whether the stream lacks published events at its end. While another relay publishes it may say so wrongly;
// with the lease it is certain.
func (r *Relay) lossy(ctx context.Context) (bool, error) {
	end, err := r.end(ctx)
	if err != nil {
		return false, err
	}
	lost, err := r.ledger.publishedAfter(ctx, end, 1)
	return len(lost) > 0, err
}

// repeat writes lost events where they stood before, after the end of what is left. Whoever has taken them goes on after
// its own position and does not see them again.
func (r *Relay) repeat(ctx context.Context, held lease, end Position, lost []placed) error {
	r.cfg.Logger.WarnContext(ctx, "the stream has lost events: publishing them again", "stream", r.stream,
		"after", end.String(), "from", lost[0].at.String(), "to", lost[len(lost)-1].at.String())
	for _, e := range lost {
		if r.cfg.Now().After(held.until) {
			return nil
		}
		err := r.append(ctx, e.Event, end, e.at)
		if errors.Is(err, errMoved) {
			return nil
		}
		if err != nil {
			return err
		}
		end = e.at
		r.backlog.repeated.Inc()
	}
	return nil
}
