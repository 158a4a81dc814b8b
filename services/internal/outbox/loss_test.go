package outbox

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/mesh/meshtest"
)

// three publishes evt_a_1 to evt_a_3 and returns the stream as it is then.
func (w *world) three() []published {
	w.Helper()
	w.add(event("a", 1), event("a", 2), event("a", 3))
	stop := w.run(w.relay(w.client()))
	w.await()
	stop()
	return w.stream()
}

// losses are what can happen to a stream of three, and how many of them are left.
var losses = []struct {
	name string
	lose func(w *world) error
}{
	{"the stream is flushed", func(w *world) error { return w.redis.FlushAll(w.Context()).Err() }},
	{"Redis comes back without its last writes", func(w *world) error {
		tail := w.stream()[1:]
		first := w.stream()[0]
		if err := w.redis.Del(w.Context(), Stream("test")).Err(); err != nil || len(tail) != 2 {
			return fmt.Errorf("%d entries: %w", len(tail), err)
		}
		values, err := entry("urn:realguardio:test", event("a", 1), first.Position)
		if err != nil {
			return err
		}
		return w.redis.XAdd(w.Context(), &redis.XAddArgs{Stream: Stream("test"), ID: first.Position.String(), Values: values}).Err()
	}},
	{"the last entries are deleted", func(w *world) error {
		s := w.stream()
		return w.redis.XDel(w.Context(), Stream("test"), s[1].Position.String(), s[2].Position.String()).Err()
	}},
	{"all entries are trimmed away", func(w *world) error { return w.redis.XTrimMaxLen(w.Context(), Stream("test"), 0).Err() }},
}

func TestWhatTheStreamLosesIsPublishedAgainWhereItStood(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			t.Run("and nothing follows", func(t *testing.T) {
				eachWorld(t, func(w *world) {
					before := w.three()
					w.run(w.relay(w.client()))
					if err := loss.lose(w); err != nil {
						w.Fatal(err)
					}
					meshtest.Await(w, "all is there again", func() bool { return len(w.stream()) == len(before) })
					if diff := cmp.Diff(before, w.stream()); diff != "" {
						w.Error(diff)
					}
				})
			})
			t.Run("and more follows", func(t *testing.T) {
				eachWorld(t, func(w *world) {
					before := w.three()
					if err := loss.lose(w); err != nil {
						w.Fatal(err)
					}
					w.add(event("b", 1), event("b", 2))
					// What waits is reason enough to look at the stream, whenever the next check is.
					w.run(w.relay(w.client(), func(c *Config) { c.Check = time.Hour }))
					w.await()
					got := w.stream()
					if diff := cmp.Diff([]string{"evt_a_1", "evt_a_2", "evt_a_3", "evt_b_1", "evt_b_2"}, ids(got)); diff != "" {
						w.Fatal(diff)
					}
					if diff := cmp.Diff(before, got[:3]); diff != "" || !got[3].Follows(got[2].Position) {
						w.Errorf("%v after %v\n%s", got[3].Position, got[2].Position, diff)
					}
				})
			})
		})
	}
}

// lostBefore loses the stream right before the relay's nth write.
type lostBefore struct {
	n    int64
	seen atomic.Int64
	lose func()
}

func (*lostBefore) DialHook(next redis.DialHook) redis.DialHook { return next }
func (*lostBefore) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h *lostBefore) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" && h.seen.Add(1) == h.n {
			h.lose()
		}
		return next(ctx, cmd)
	}
}

func TestAStreamThatIsLostBetweenTwoWritesIsMadeWhole(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.three()
		w.add(event("b", 1), event("b", 2), event("b", 3))
		hook := &lostBefore{n: 2, lose: func() {
			if err := w.redis.FlushAll(w.Context()).Err(); err != nil {
				w.Error(err)
			}
		}}
		w.run(w.relay(w.client(hook)))
		w.await()
		want := []string{"evt_a_1", "evt_a_2", "evt_a_3", "evt_b_1", "evt_b_2", "evt_b_3"}
		if diff := cmp.Diff(want, ids(w.stream())); diff != "" {
			w.Error(diff)
		}
	})
}

func TestRelaysAtOnceMakeAStreamWholeThatIsLostUnderThem(t *testing.T) {
	eachWorld(t, func(w *world) {
		relays := []*Relay{w.relay(w.client()), w.relay(w.client()), w.relay(w.client())}
		w.run(relays...)
		const subjects, versions = 3, 30
		var writers sync.WaitGroup
		for s := range subjects {
			writers.Go(func() {
				for v := range versions {
					w.add(event(fmt.Sprintf("sys%d", s), int64(v+1)))
					relays[v%len(relays)].Nudge()
					if s == 0 && v%10 == 5 {
						if err := w.redis.FlushAll(w.Context()).Err(); err != nil {
							w.Error(err)
						}
					}
				}
			})
		}
		writers.Wait()
		w.await()
		meshtest.Await(w, "the stream is whole", func() bool { return len(w.stream()) == subjects*versions })
		next := map[string]int64{}
		got := w.stream()
		for i, p := range got {
			next[p.Subject]++
			if p.SubjectVersion != next[p.Subject] || i > 0 && !p.Follows(got[i-1].Position) {
				w.Fatalf("%s version %d stands at %v, version %d was due", p.Subject, p.SubjectVersion, p.Position, next[p.Subject])
			}
		}
	})
}

func TestWhatIsTrimmedFromTheFrontIsNotLost(t *testing.T) {
	eachWorld(t, func(w *world) {
		last := w.three()[2]
		if err := w.redis.XTrimMaxLen(w.Context(), Stream("test"), 1).Err(); err != nil {
			w.Fatal(err)
		}
		w.add(event("b", 1))
		w.run(w.relay(w.client()))
		w.await()
		got := w.stream()
		if diff := cmp.Diff([]string{"evt_a_3", "evt_b_1"}, ids(got)); diff != "" || !got[1].Follows(last.Position) {
			w.Error(got, diff)
		}
	})
}

func TestAStreamIsMadeOfWhatIsRetained(t *testing.T) {
	eachWorld(t, func(w *world) {
		before := w.three()
		if _, err := w.db.Exec(w.Context(), `DELETE FROM outbox WHERE version < 3`); err != nil {
			w.Fatal(err)
		}
		if err := w.redis.FlushAll(w.Context()).Err(); err != nil {
			w.Fatal(err)
		}
		w.run(w.relay(w.client()))
		meshtest.Await(w, "the rest is there", func() bool { return len(w.stream()) > 0 })
		if diff := cmp.Diff(before[2:], w.stream()); diff != "" {
			w.Error(diff)
		}
	})
}
