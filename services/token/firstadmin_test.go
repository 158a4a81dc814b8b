package token_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/realguardio/realguardio/services/token"
)

func TestThereIsOneFirstAdmin(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		var mu sync.Mutex
		made, ids := 0, map[string]bool{}
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				admin, err := s.EnsureFirstAdmin(t.Context(), token.UserSpec{Email: fmt.Sprintf("admin-%d@example.com", i%4), Name: "Ada", Password: bossPassword})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if ids[admin.ID] = true; admin.Made {
					made++
				}
			})
		}
		all.Wait()
		if n := s.count(`SELECT count(*) FROM users WHERE roles = 'REALGUARDIO_ADMIN'`); made != 1 || len(ids) != 1 || n != 1 {
			t.Errorf("%d made, %d told of, %d there", made, len(ids), n)
		}
	})
}

func TestWhoHasAnAccountCanBeTheFirstAdmin(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		id := s.user(alice, alicePassword)
		for i, promoted := range []bool{true, false} {
			admin, err := s.EnsureFirstAdmin(t.Context(), token.UserSpec{Email: alice, Name: "Other", Password: bossPassword})
			if err != nil || admin.ID != id || admin.Made || admin.Promoted != promoted {
				t.Errorf("time %d: %+v, %v", i+1, admin, err)
			}
		}
		if page := s.browser().login(asks("web", webCallback), alice, alicePassword); page.status != http.StatusSeeOther {
			t.Errorf("the password has changed: %d", page.status)
		}
	})
}
