package token_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/token/oauth"
)

func TestWhoMayBeginADevice(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		for _, tc := range []struct {
			name, client, secret string
			form                 url.Values
			status               int
			want                 string
		}{
			{"a confidential client", "box", boxSecret, url.Values{}, 200, ""},
			{"one without its secret", "", "", url.Values{"client_id": {"box"}}, 401, "invalid_client"},
			{"one with a wrong secret", "box", "wrong", url.Values{}, 401, "invalid_client"},
			{"an unknown one", "", "", url.Values{"client_id": {"nobody"}}, 401, "invalid_client"},
			{"nobody", "", "", url.Values{}, 401, "invalid_client"},
			{"a client without the grant", "", "", url.Values{"client_id": {"native"}}, 400, "unauthorized_client"},
			{"a scope that it does not have", "", "", url.Values{"client_id": {"tv"}, "scope": {"admin"}}, 400, "invalid_scope"},
			{"an unknown resource", "", "", url.Values{"client_id": {"tv"}, "resource": {"https://evil.example"}}, 400, "invalid_target"},
			{"two scopes", "", "", url.Values{"client_id": {"tv"}, "scope": {"openid", "profile"}}, 400, "invalid_request"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				before := s.redis.DBSize(t.Context()).Val()
				r := s.post("/oauth2/device_authorization", tc.client, tc.secret, tc.form)
				if tc.status == 200 {
					if r.status != 200 {
						t.Errorf("%d %s", r.status, r.body)
					}
					return
				}
				refused(t, r, tc.status, tc.want)
				if after := s.redis.DBSize(t.Context()).Val(); after != before {
					t.Errorf("%d keys were left behind", after-before)
				}
			})
		}
		if r := s.get("/oauth2/device_authorization?client_id=tv"); r.status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", r.status)
		}
		if r := s.get("/.well-known/openid-configuration"); r.str("device_authorization_endpoint") != s.url+"/oauth2/device_authorization" ||
			!strings.Contains(r.body, oauth.GrantDeviceCode) {
			t.Errorf("discovery: %s", r.body)
		}
	})
}

// TestDeviceRequestsAreBounded: whoever knows the id of a public client can have us keep only so much.
func TestDeviceRequestsAreBounded(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		form := url.Values{"client_id": {"tv"}}
		for i := range 100 {
			if r := s.post("/oauth2/device_authorization", "", "", form); r.status != http.StatusOK {
				t.Fatalf("request %d: %d %s", i, r.status, r.body)
			}
		}
		before := s.redis.DBSize(t.Context()).Val()
		r := s.post("/oauth2/device_authorization", "", "", form)
		refused(t, r, http.StatusTooManyRequests, "slow_down")
		if r.header.Get("Retry-After") == "" || s.redis.DBSize(t.Context()).Val() != before {
			t.Errorf("Retry-After %q, or something was kept", r.header.Get("Retry-After"))
		}
		s.redis.Del(t.Context(), "rgt:{attempts}:device:127.0.0.1")
		s.redis.Set(t.Context(), "rgt:{attempts}:device-client:tv", 5000, time.Minute)
		refused(t, s.post("/oauth2/device_authorization", "", "", form), http.StatusTooManyRequests, "slow_down")
		if r := s.post("/oauth2/device_authorization", "", "", url.Values{"client_id": {"radio"}}); r.status != http.StatusOK {
			t.Errorf("another client: %d", r.status)
		}
	})
}

func TestUserCodesCannotBeGuessed(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		s.user("mary@acme.example", "mary's password")
		code := s.device().str("user_code")
		wrong := func(i int) string { return fmt.Sprintf("BCDF-GHJ%c", "BCDFGHJKLMNPQRSTVWXZ"[i%20]) }
		alices := s.atDevicePage(alice, alicePassword)
		for i := range 10 {
			if r := alices.types(wrong(i)); r.status != http.StatusBadRequest || !strings.Contains(r.body, wrong(i)) {
				t.Fatalf("guess %d: %d %s", i, r.status, r.body)
			}
			if r := alices.types(code); i < 9 && r.status != http.StatusOK {
				t.Fatalf("a right one after guess %d: %d", i, r.status)
			}
		}
		r := alices.types(code)
		if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "Too many wrong codes") {
			t.Fatalf("the right code after ten wrong ones: %d", r.status)
		}
		again := s.atDevicePage(alice, alicePassword)
		for i := range 10 {
			again.types(wrong(i))
		}
		if r := s.atDevicePage(alice, alicePassword).types(code); r.status != http.StatusTooManyRequests {
			t.Errorf("a person in a third session: %d", r.status)
		}
		marys := s.atDevicePage("mary@acme.example", "mary's password")
		if r := marys.types(code); r.status != http.StatusOK {
			t.Errorf("somebody else: %d", r.status)
		}
		s.redis.Set(t.Context(), "rgt:{attempts}:usercode:network:127.0.0.1", 50, time.Minute)
		if r := marys.types(code); r.status != http.StatusTooManyRequests {
			t.Errorf("somebody else of a network that guesses: %d", r.status)
		}
	})
}

// TestDevicesWithoutRedis closes what their requests are kept in.
func TestDevicesWithoutRedis(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		begun := s.device()
		b := s.atDevicePage(alice, alicePassword)
		if err := s.redis.Close(); err != nil {
			t.Fatal(err)
		}
		refused(t, s.poll(begun.str("device_code")), 503, "temporarily_unavailable")
		refused(t, s.post("/oauth2/device_authorization", "", "", url.Values{"client_id": {"tv"}}), 503, "temporarily_unavailable")
		if r := b.types(begun.str("user_code")); r.status != 503 || strings.Contains(r.body, "Allow") {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// TestCodesOfDevicesAreNotKept looks through everything in Redis.
func TestCodesOfDevicesAreNotKept(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		begun := s.device()
		b := s.browser()
		b.login("/device?user_code="+begun.str("user_code"), alice, alicePassword)
		b.answers(begun.str("user_code"), "allow")
		kept := dump(t, s.redis)
		for _, secret := range []string{begun.str("device_code"), begun.str("user_code"), strings.ReplaceAll(begun.str("user_code"), "-", "")} {
			if strings.Contains(kept, secret) {
				t.Errorf("%s is kept", secret)
			}
		}
	})
}

// dump is every key and value in Redis.
func dump(t *testing.T, client *redis.Client) string {
	t.Helper()
	var out strings.Builder
	for _, key := range client.Keys(t.Context(), "*").Val() {
		out.WriteString(key + "\n")
		if client.Type(t.Context(), key).Val() == "hash" {
			fmt.Fprintln(&out, client.HGetAll(t.Context(), key).Val())
		} else {
			fmt.Fprintln(&out, client.Get(t.Context(), key).Val())
		}
	}
	if !strings.Contains(out.String(), "rgt:device:") {
		t.Fatal("nothing of the device is kept at all")
	}
	return out.String()
}
