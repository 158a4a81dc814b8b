package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
)

// TestLogoutAndKeys runs an installation with TLS: a sign-out at the issuer is told to the gateway, and the signing keys are
// looked after from the command line.
func TestLogoutAndKeys(t *testing.T) {
	s := startDev(t, "--ephemeral", "--tls")
	t.Run("a sign-out elsewhere ends the gateway's session", func(t *testing.T) {
		browser := s.signIn(t, "alice")
		page := call(t, browser, http.MethodGet, s.Issuer+"/oauth2/logout", nil, accepting("text/html"))
		form := url.Values{}
		for _, field := range hidden.FindAllSubmatch(page.body, -1) {
			form.Set(string(field[1]), string(field[2]))
		}
		if got := post(t, browser, s.Issuer+"/oauth2/logout/confirm", form); got.status != http.StatusOK {
			t.Fatalf("signing out at the issuer answered %d\n%s", got.status, got.body)
		}
		eventually(t, "the gateway's session is over", func() error {
			if got := call(t, browser, http.MethodGet, s.Gateway+"/api/auth/session", nil); strings.TrimSpace(string(got.body)) != "{}" {
				return fmt.Errorf("it is %s", got.body)
			}
			return nil
		})
		eventually(t, "the gateway was told, and has taken it", func() error {
			metrics := call(t, s.http, http.MethodGet, s.Ops[assembly.Token]+"/metrics", nil)
			if !strings.Contains(string(metrics.body), `realguardio_logout_deliveries_total{outcome="delivered"} 1`) {
				return fmt.Errorf("deliveries are counted otherwise")
			}
			return nil
		})
	})
	t.Run("signing keys", func(t *testing.T) {
		type key struct{ ID, Alg, Status, RetireTime string }
		var before, rotated, after, revoked []key
		runJSON(t, &before, "keys", "list", "--ready-file", s.path, "-o", "json")
		token, browser := s.tokenOf(t, "alice"), s.signIn(t, "mary")
		runJSON(t, &rotated, "keys", "rotate", "--ready-file", s.path, "--alg", "ES256", "-o", "json")
		if len(before) != 6 || len(rotated) != 1 || rotated[0].Alg != "ES256" || rotated[0].Status != "active" {
			t.Fatalf("of %v, %v signs now", before, rotated)
		}
		s.api(t, http.StatusOK, http.MethodGet, "/api/v1/securitysystems", nil, bearer(token))
		if exit, _, stderr := run(t, nil, "keys", "rotate", "--ready-file", s.path); exit != 1 || !strings.Contains(stderr, "may sign from") {
			t.Errorf("too early: %d %s", exit, stderr)
		}
		runJSON(t, &after, "keys", "list", "--ready-file", s.path, "-o", "json")
		for _, k := range after {
			if k.Alg == "ES256" && k.Status == "retired" {
				runJSON(t, &revoked, "keys", "revoke", k.ID, "--ready-file", s.path, "-o", "json")
			}
		}
		if len(revoked) != 1 || revoked[0].Status != "revoked" || revoked[0].RetireTime == "" {
			t.Fatalf("revoked %v", revoked)
		}
		eventually(t, "what it signed is refused", func() error {
			if got := call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, bearer(token)); got.status != http.StatusUnauthorized {
				return fmt.Errorf("answered %d", got.status)
			}
			return nil
		})
		eventually(t, "who is signed in stays so, by another token", func() error {
			if got := call(t, browser, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil); got.status != http.StatusOK {
				return fmt.Errorf("answered %d", got.status)
			}
			return nil
		})
		eventually(t, "who signs in now is let in", func() error {
			if got := call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, bearer(s.tokenOf(t, "alice"))); got.status != http.StatusOK {
				return fmt.Errorf("answered %d", got.status)
			}
			return nil
		})
	})
}
