package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/gateway/internal/redistest"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/mesh"
)

// clock is a clock that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time           { return start.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(by time.Duration) { c.offset.Add(int64(by)) }
func (c *clock) tokens(name string) session.Tokens {
	return session.Tokens{
		Access: "access-" + name, Refresh: "refresh-" + name, ID: "id-" + name,
		Identity: mesh.Identity{
			Subject: "u-alice", Kind: mesh.KindUser, ClientID: "realguardio-web", SessionID: "sid-1", GrantID: "gid-1",
			TokenID: "jti-" + name, Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}, IssuedAt: c.now(), Expiry: c.now().Add(5 * time.Minute),
		},
		Person: session.Person{Subject: "u-alice", Name: "Alice", Email: "alice@acme.example"},
	}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// provider is an identity provider whose answers tests choose.
type provider struct {
	clock   *clock
	calls   atomic.Int64
	mu      sync.Mutex
	answer  func(refreshToken string) (session.Tokens, error)
	revoked []string
}

func (p *provider) Refresh(_ context.Context, refreshToken string) (session.Tokens, error) {
	n := p.calls.Add(1)
	p.mu.Lock()
	answer := p.answer
	p.mu.Unlock()
	if answer != nil {
		return answer(refreshToken)
	}
	return p.clock.tokens(fmt.Sprint(n + 1)), nil
}

func (p *provider) Revoke(_ context.Context, refreshToken string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = append(p.revoked, refreshToken)
	return nil
}

func (p *provider) answers(answer func(string) (session.Tokens, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// revocations ends what tests say.
type revocations struct {
	sid, jti atomic.Value
	below    atomic.Int64
}

func (r *revocations) Revoked(id mesh.Identity) bool {
	return id.SessionID != "" && id.SessionID == r.sid.Load() || id.TokenID != "" && id.TokenID == r.jti.Load() ||
		id.Epoch < r.below.Load()
}

// world is what a test of sessions needs. Managers of one world are replicas: they share Redis, and nothing else.
type world struct {
	*clock
	redis    *redistest.Server
	provider *provider
	revoked  *revocations
}

func newWorld(server *redistest.Server) *world {
	c := &clock{}
	return &world{clock: c, redis: server, provider: &provider{clock: c}, revoked: &revocations{}}
}

func (w *world) manager(t testing.TB, keys ...[]byte) *session.Manager {
	t.Helper()
	if keys == nil {
		keys = [][]byte{bytes.Repeat([]byte{1}, 32)}
	}
	v, err := vault.New(vault.Config{Redis: w.redis.Client, Keys: keys, Lease: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m, err := session.New(session.Config{
		Vault: v, Refresher: w.provider, Revocations: w.revoked, IdleFor: time.Hour, LiveFor: 8 * time.Hour, Now: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func begin(t testing.TB, m *session.Manager, w *world) session.ID {
	t.Helper()
	id, _, err := m.Begin(t.Context(), w.tokens("1"))
	if err != nil {
		t.Fatalf("beginning a session: %v", err)
	}
	return id
}

func wantErr(t testing.TB, m *session.Manager, id session.ID, want error) {
	t.Helper()
	if s, err := m.Find(t.Context(), id); !errors.Is(err, want) {
		t.Fatalf("found %+v, %v; want %v", s, err, want)
	}
}

func wantAccess(t testing.TB, m *session.Manager, id session.ID, want string) *session.Session {
	t.Helper()
	s, err := m.Find(t.Context(), id)
	if err != nil || s.Access != want {
		t.Fatalf("found %+v, %v; want the token %s", s, err, want)
	}
	return s
}

func TestSession(t *testing.T) {
	tests := []struct {
		name string
		test func(t *testing.T, w *world, m *session.Manager)
	}{
		{"a session is found with its person, its token and its limits, by every replica", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			s := wantAccess(t, w.manager(t), id, "access-1")
			if s.Person.Name != "Alice" || s.Person.Roles[0] != "REALGUARDIO_CUSTOMER_EMPLOYEE" || !s.Expires().Equal(start.Add(time.Hour)) {
				t.Errorf("found %+v", s)
			}
		}},
		{"ids are never repeated", func(t *testing.T, w *world, m *session.Manager) {
			if begin(t, m, w) == begin(t, m, w) {
				t.Error("two sessions with one id")
			}
		}},
		{"an id that was never ours is none", func(t *testing.T, w *world, m *session.Manager) {
			for _, id := range []session.ID{"", "x", "*", session.ID(strings.Repeat("A", 43)), session.ID(strings.Repeat("A", 9000)), "a\r\nDEL x"} {
				wantErr(t, m, id, session.ErrNone)
			}
		}},
		{"redis sees neither the id nor a token nor a name", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			for _, key := range w.redis.Client.Keys(t.Context(), "*").Val() {
				value := key
				if v, err := w.redis.Client.Get(t.Context(), key).Result(); err == nil {
					value += v
				}
				for _, secret := range []string{string(id), "access-1", "refresh-1", "id-1", "alice"} {
					if strings.Contains(value, secret) {
						t.Errorf("%s holds %s", key, secret)
					}
				}
			}
		}},
		{"a value copied to another session's place opens nothing", func(t *testing.T, w *world, m *session.Manager) {
			mine, other := begin(t, m, w), begin(t, m, w)
			client := w.redis.Client
			client.Set(t.Context(), string(vault.KeyOf("session", string(other))), client.Get(t.Context(), string(vault.KeyOf("session", string(mine)))).Val(), 0)
			wantErr(t, m, other, session.ErrNone)
		}},
		{"a value that is cut, garbled or absent is none", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			key := string(vault.KeyOf("session", string(id)))
			whole := w.redis.Client.Get(t.Context(), key).Val()
			for _, value := range []string{"", "x", whole[:20], whole[:len(whole)-1], whole[:40] + "!" + whole[41:]} {
				w.redis.Client.Set(t.Context(), key, value, 0)
				wantErr(t, m, id, session.ErrNone)
			}
			w.redis.Client.FlushAll(t.Context())
			wantErr(t, m, id, session.ErrNone)
		}},
		{"a value of another type is a fault of redis, and lets nobody in", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			key := string(vault.KeyOf("session", string(id)))
			w.redis.Client.Del(t.Context(), key)
			w.redis.Client.LPush(t.Context(), key, "x")
			wantErr(t, m, id, session.ErrUnavailable)
		}},
		{"a session sealed with a retired key is found, one with a foreign key is not", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			old, next := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
			wantAccess(t, w.manager(t, next, old), id, "access-1")
			wantErr(t, w.manager(t, next), id, session.ErrNone)
		}},
		{"a session without use ends at its idle limit", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.advance(time.Hour)
			wantErr(t, m, id, session.ErrNone)
			if w.provider.calls.Load() != 0 {
				t.Error("a session that was over was refreshed")
			}
		}},
		{"a session in use lives on, until its absolute limit", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			for range 15 {
				w.advance(31 * time.Minute)
				if _, err := m.Find(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			w.advance(15 * time.Minute)
			wantErr(t, m, id, session.ErrNone)
		}},
		{"an ended session is none, everywhere and for ever", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			if s, err := m.End(t.Context(), id); err != nil || s.Refresh != "refresh-1" {
				t.Fatalf("ended %+v, %v", s, err)
			}
			wantErr(t, w.manager(t), id, session.ErrNone)
			if _, err := m.End(t.Context(), id); !errors.Is(err, session.ErrNone) {
				t.Errorf("ended again: %v", err)
			}
			if got := m.Stats(); got != (session.Stats{Begun: 1, Ended: 1}) {
				t.Errorf("counted %+v", got)
			}
		}},
		{"ending a login session ends what was begun with it and nothing else", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			other := w.tokens("1")
			other.Identity.SessionID = "sid-2"
			stays, _, err := m.Begin(t.Context(), other)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.EndAll(t.Context(), "u-alice", "sid-1"); err != nil {
				t.Fatal(err)
			}
			wantErr(t, m, id, session.ErrNone)
			wantAccess(t, m, stays, "access-1")
			if err := m.EndAll(t.Context(), "u-alice", ""); err != nil {
				t.Fatal(err)
			}
			wantErr(t, m, stays, session.ErrNone)
			if got := m.Stats(); got != (session.Stats{Begun: 2, Ended: 2}) {
				t.Errorf("counted %+v", got)
			}
		}},
		{"a session whose login session was revoked is none, and removed", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.revoked.sid.Store("sid-1")
			wantErr(t, m, id, session.ErrNone)
			if n := w.redis.Client.Exists(t.Context(), string(vault.KeyOf("session", string(id)))).Val(); n != 0 {
				t.Error("it still lies in redis")
			}
			wantErr(t, m, id, session.ErrNone)
			if got := m.Stats(); got != (session.Stats{Begun: 1, Ended: 1}) {
				t.Errorf("counted %+v", got)
			}
		}},
		{"a revoked access token is replaced", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.revoked.jti.Store("jti-1")
			wantAccess(t, m, id, "access-2")
			if got := m.Stats(); got != (session.Stats{Begun: 1, Renewals: 1}) {
				t.Errorf("counted %+v", got)
			}
		}},
		{"a person's tokens that ended with their epoch are replaced", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.revoked.below.Store(1)
			w.provider.answers(func(string) (session.Tokens, error) {
				tokens := w.clock.tokens("2")
				tokens.Identity.Epoch = 1
				return tokens, nil
			})
			wantAccess(t, m, id, "access-2")
		}},
		{"a person whom the provider signed out with their epoch has no session", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.revoked.below.Store(1)
			w.provider.answers(func(string) (session.Tokens, error) { return session.Tokens{}, session.ErrEnded })
			wantErr(t, m, id, session.ErrNone)
		}},
		{"a request costs one read, and no write, while its token lives", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			wantAccess(t, m, id, "access-1")
			counting := &commands{}
			w.redis.Client.AddHook(counting)
			for range 10 {
				wantAccess(t, m, id, "access-1")
			}
			if got := counting.list(); got != strings.Repeat("getrange ", 10) {
				t.Errorf("commands: %s", got)
			}
		}},
	}
	redistest.Each(t, func(t *testing.T, server *redistest.Server) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				server.Client.FlushAll(t.Context())
				w := newWorld(server)
				tt.test(t, w, w.manager(t))
			})
		}
	})
}

// commands notes what a client asks.
type commands struct {
	mu    sync.Mutex
	names strings.Builder
}

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.mu.Lock()
		c.names.WriteString(cmd.Name() + " ")
		c.mu.Unlock()
		return next(ctx, cmd)
	}
}

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *commands) list() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names.String()
}

func TestRedisAway(t *testing.T) {
	redistest.Each(t, func(t *testing.T, server *redistest.Server) {
		w := newWorld(server)
		m := w.manager(t)
		id := begin(t, m, w)
		server.Stop()
		began := time.Now()
		for range 50 {
			wantErr(t, m, id, session.ErrUnavailable)
		}
		if _, _, err := m.Begin(t.Context(), w.tokens("2")); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("a session begun without redis: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("51 refusals took %v", took)
		}
		server.Start()
		redistest.Eventually(t, "sessions work again", func() bool {
			_, _, err := m.Begin(t.Context(), w.tokens("2"))
			return err == nil
		})
	})
}

func TestRedisThatHangsIsGivenUpInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	client := redis.NewClient(&redis.Options{Addr: silent.Addr().String(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	w := newWorld(&redistest.Server{Client: client})
	v, err := vault.New(vault.Config{Redis: client, Keys: [][]byte{bytes.Repeat([]byte{1}, 32)}, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m, err := session.New(session.Config{Vault: v, Refresher: w.provider, Revocations: w.revoked})
	if err != nil {
		t.Fatal(err)
	}
	id := session.ID(strings.Repeat("A", 43))
	began := time.Now()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() { wantErr(t, m, id, session.ErrUnavailable) })
	}
	all.Wait()
	for range 1000 { // by now it is known to be away: nobody waits for it
		wantErr(t, m, id, session.ErrUnavailable)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("1200 refusals took %v", took)
	}
}
