package token_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
)

var sample = regexp.MustCompile(`(?m)^realguardio_([a-z_]+(?:\{[^}]*\})?) ([0-9]+)$`)

// counts is what Prometheus reads.
func (s *server) counts() map[string]string {
	s.t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	out := map[string]string{}
	for _, m := range sample.FindAllStringSubmatch(w.Body.String(), -1) {
		out[m[1]] = m[2]
	}
	return out
}

func TestMetrics(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if got := s.counts(); got[`login_total{outcome="refused"}`] != "0" || got[`token_revocations_total{kind="session"}`] != "0" || got["refresh_reuse_total"] != "0" {
			t.Errorf("what never happened is not zero: %v", got)
		}
		b := s.browser()
		code := b.code(asks("web", webCallback))
		tokens := s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback))
		s.machine("service", serviceSecret)
		s.machine("service", serviceSecret)
		second := s.refresh(tokens.str("refresh_token"))
		s.clock.Advance(11 * time.Second)
		s.refresh(tokens.str("refresh_token"))
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {second.str("access_token")}})
		b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))

		s.machine("service", "wrong")
		s.post("/oauth2/token", "web", webSecret, redeems("nonsense", webCallback))
		s.post("/oauth2/token", "web", webSecret, url.Values{"grant_type": {"injected\"}"}})
		s.post("/oauth2/token", "injected", "injected", url.Values{"grant_type": {"injected-too"}, "scope": {"injected"}})
		s.post("/oauth2/token", "web", webSecret, url.Values{"grant_type": {"password", "password"}})

		s.browser().signIn(asks("web", webCallback), alice, "a wrong guess")
		s.browser().submit("/login", url.Values{"tx": {"injected"}, "username": {alice}, "password": {alicePassword}})
		s.browser().submit("/login", url.Values{"tx": {"a", "b"}})
		if err := s.redis.Set(t.Context(), "rgt:{attempts}:address:127.0.0.1", 100, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		s.browser().signIn(asks("web", webCallback), alice, alicePassword)

		got := s.counts()
		for name, want := range map[string]string{
			`token_issued_total{grant="authorization_code"}`:                         "1",
			`token_issued_total{grant="client_credentials"}`:                         "2",
			`token_issued_total{grant="refresh_token"}`:                              "1",
			`token_refused_total{error="invalid_grant",grant="refresh_token"}`:       "1",
			`token_refused_total{error="invalid_grant",grant="authorization_code"}`:  "1",
			`token_refused_total{error="invalid_client",grant="client_credentials"}`: "1",
			`token_refused_total{error="invalid_client",grant="other"}`:              "1",
			`token_refused_total{error="unsupported_grant_type",grant="other"}`:      "1",
			`token_refused_total{error="invalid_request",grant="other"}`:             "1",
			`login_total{outcome="succeeded"}`:                                       "1",
			`login_total{outcome="refused"}`:                                         "1",
			`login_total{outcome="limited"}`:                                         "1",
			`login_total{outcome="foreign"}`:                                         "1",
			`login_total{outcome="failed"}`:                                          "1",
			`refresh_reuse_total`:                                                    "1",
			`token_revocations_total{kind="grant"}`:                                  "1",
			`token_revocations_total{kind="token"}`:                                  "1",
			`token_revocations_total{kind="session"}`:                                "1",
			`token_revocations_total{kind="client"}`:                                 "0",
		} {
			if got[name] != want {
				t.Errorf("%s is %q, want %s", name, got[name], want)
			}
		}
		for name := range got {
			if strings.Contains(name, "injected") {
				t.Errorf("somebody outside made the series %s", name)
			}
		}
		var head int
		if err := s.db.QueryRow(t.Context(), `SELECT head FROM revocation_head`).Scan(&head); err != nil || head == 0 {
			t.Fatalf("%d revocations, %v", head, err)
		}
		meshtest.Await(t, "the log is read", func() bool { return s.counts()["revocation_head"] == strconv.Itoa(head) })
		if got := s.counts(); got["revocation_watchers"] != "0" || got["revocation_replays_total"] != "0" || got["revocation_slow_watchers_total"] != "0" {
			t.Errorf("nobody watches: %v", got)
		}
	})
}

func TestMetricsThatClashAreRefused(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		cfg := s.config()
		cfg.Registerer = prometheus.NewRegistry()
		for _, want := range []bool{true, false} {
			if _, err := token.New(cfg); (err == nil) != want {
				t.Errorf("%v", err)
			}
		}
	})
}
