package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/gateway/internal/redistest"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/gateway/vault"
)

func TestRefresh(t *testing.T) {
	tests := []struct {
		name string
		test func(t *testing.T, w *world, m *session.Manager)
	}{
		{"a token with enough life is left alone, one about to end is renewed in time", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.advance(4*time.Minute + 29*time.Second)
			wantAccess(t, m, id, "access-1")
			w.advance(2 * time.Second)
			wantAccess(t, m, id, "access-2")
			wantAccess(t, m, id, "access-2")
			if n := w.provider.calls.Load(); n != 1 {
				t.Errorf("%d token calls", n)
			}
		}},
		{"200 requests on an expired token, over three replicas, cause one token call and no logout", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.advance(10 * time.Minute)
			replicas := []*session.Manager{m, w.manager(t), w.manager(t)}
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() { wantAccess(t, replicas[i%3], id, "access-2") })
			}
			all.Wait()
			if n := w.provider.calls.Load(); n != 1 {
				t.Errorf("%d token calls", n)
			}
		}},
		{"what the provider does not issue anew stays", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.provider.answers(func(string) (session.Tokens, error) {
				fresh := w.tokens("2")
				fresh.Refresh, fresh.ID, fresh.Person = "", "", session.Person{}
				return fresh, nil
			})
			w.advance(10 * time.Minute)
			s := wantAccess(t, m, id, "access-2")
			if s.Refresh != "refresh-1" || s.IDToken != "id-1" || s.Person.Name != "Alice" {
				t.Errorf("got %+v", s)
			}
		}},
		{"a provider that ends the grant ends the session", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.provider.answers(func(string) (session.Tokens, error) { return session.Tokens{}, session.ErrEnded })
			w.advance(10 * time.Minute)
			wantErr(t, m, id, session.ErrNone)
			w.provider.answers(nil)
			wantErr(t, m, id, session.ErrNone)
		}},
		{"a provider that is down keeps the session for later", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.provider.answers(func(string) (session.Tokens, error) { return session.Tokens{}, errors.New("503") })
			w.advance(10 * time.Minute)
			wantErr(t, m, id, session.ErrUnavailable)
			w.provider.answers(nil)
			wantAccess(t, m, id, "access-3")
		}},
		{"while the provider is down a token that still lives is used", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.provider.answers(func(string) (session.Tokens, error) { return session.Tokens{}, errors.New("503") })
			w.advance(4*time.Minute + 45*time.Second)
			wantAccess(t, m, id, "access-1")
		}},
		{"a sign-out during a renewal wins, and the new tokens are revoked", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.provider.answers(func(string) (session.Tokens, error) {
				if _, err := w.manager(t).End(context.Background(), id); err != nil {
					t.Error(err)
				}
				return w.tokens("2"), nil
			})
			w.advance(10 * time.Minute)
			wantErr(t, m, id, session.ErrNone)
			wantErr(t, m, id, session.ErrNone)
			if len(w.provider.revoked) != 1 || w.provider.revoked[0] != "refresh-2" {
				t.Errorf("revoked %v", w.provider.revoked)
			}
		}},
		{"a request that is cancelled does not lose the tokens it had asked for", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			ctx, cancel := context.WithCancel(t.Context())
			asked, answer := make(chan struct{}), make(chan struct{})
			w.provider.answers(func(string) (session.Tokens, error) {
				close(asked)
				<-answer
				return w.tokens("2"), nil
			})
			w.advance(10 * time.Minute)
			gaveUp := make(chan error, 1)
			go func() {
				_, err := m.Find(ctx, id)
				gaveUp <- err
			}()
			<-asked
			cancel()
			if err := <-gaveUp; !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled request got %v", err)
			}
			close(answer)
			wantAccess(t, w.manager(t), id, "access-2")
		}},
		{"the lock is renewed while the provider takes its time, so that no replica asks too", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			lock := string(vault.KeyOf("session", string(id))) + ":lock"
			left := func() time.Duration { return w.redis.Client.PTTL(context.Background(), lock).Val() }
			w.provider.answers(func(string) (session.Tokens, error) {
				for range 3 { // the lease runs down, and is as long as before again
					redistest.Eventually(t, "the lease runs down", func() bool { return left() < 230*time.Millisecond })
					redistest.Eventually(t, "the lease is renewed", func() bool { return left() > 250*time.Millisecond })
				}
				return w.tokens("2"), nil
			})
			w.advance(10 * time.Minute)
			var all sync.WaitGroup
			for _, replica := range []*session.Manager{m, w.manager(t), w.manager(t)} {
				all.Go(func() { wantAccess(t, replica, id, "access-2") })
			}
			all.Wait()
			if n := w.provider.calls.Load(); n != 1 {
				t.Errorf("%d token calls", n)
			}
		}},
		{"a replica that died with the lock holds the others up only for its lease", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			w.redis.Client.Set(t.Context(), string(vault.KeyOf("session", string(id)))+":lock", "dead", 200*time.Millisecond)
			w.advance(10 * time.Minute)
			wantAccess(t, m, id, "access-2")
		}},
		{"a holder who lost the lock does not overwrite what the next one got", func(t *testing.T, w *world, m *session.Manager) {
			id := begin(t, m, w)
			lock := string(vault.KeyOf("session", string(id))) + ":lock"
			first := true
			w.provider.answers(func(string) (session.Tokens, error) {
				if !first {
					return w.tokens("2"), nil
				}
				first = false
				w.redis.Client.Del(context.Background(), lock)
				wantAccess(t, w.manager(t), id, "access-2")
				return w.tokens("late"), nil
			})
			w.advance(10 * time.Minute)
			wantAccess(t, m, id, "access-2")
			wantAccess(t, w.manager(t), id, "access-2")
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
