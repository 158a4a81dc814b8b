package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/internal/redistest"
	"github.com/realguardio/realguardio/gateway/ratelimit"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

const (
	keyID     = "rgk_01abc"
	keySecret = "s3cr3t+with:signs.and-dots"
)

func basic(id, secret string) header {
	return header{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

func bearer(token string) header { return header{"Authorization": "Bearer " + token} }

func TestWhoMayCall(t *testing.T) {
	w := newWorld(t)
	w.idp.apiKeys[keyID] = keySecret
	g := w.gateway(t)
	session := header{"Cookie": "realguardio-session=" + g.signedIn(t).cookie(t, "realguardio-session")}
	good := meshtest.Claims{Subject: "u-mary", Scopes: []string{"securitysystem.read"}}
	token := func(change func(*meshtest.Claims)) header {
		c := good
		change(&c)
		return bearer(w.idp.Token(t, c))
	}
	both := func(a, b header) header {
		out := header{}
		for _, h := range []header{a, b} {
			for k, v := range h {
				if out[k] != "" {
					v = out[k] + "\n" + v
				}
				out[k] = v
			}
		}
		return out
	}
	tests := []struct {
		name    string
		headers header
		status  int
		reason  string
		// caller is who the service saw.
		caller string
	}{
		{"a session", session, 200, "", "u-alice"},
		{"a session among cookies of others", header{"Cookie": "a=b; " + session["Cookie"] + "; theme=dark"}, 200, "", "u-alice"},
		{"a bearer token", token(func(*meshtest.Claims) {}), 200, "", "u-mary"},
		{"a scheme in lower case", header{"Authorization": "bearer " + w.idp.Token(t, good)}, 200, "", "u-mary"},
		{"an API key and its secret", basic(keyID, keySecret), 200, "", keyID},
		{"an API key in one string", bearer(keyID + "." + keySecret), 200, "", keyID},

		{"nothing", header{}, 401, "NO_CREDENTIAL", ""},
		{"a session that was never ours", header{"Cookie": "realguardio-session=x"}, 401, "NO_CREDENTIAL", ""},
		{"a session of enormous length", header{"Cookie": "realguardio-session=" + strings.Repeat("A", 9000)}, 401, "NO_CREDENTIAL", ""},
		{"an API key with another's secret", basic(keyID, "wrong"), 401, "INVALID_TOKEN", ""},
		{"an API key without a secret", bearer(keyID), 401, "INVALID_TOKEN", ""},
		{"an API key with an empty secret", basic(keyID, ""), 401, "INVALID_TOKEN", ""},
		{"an unknown API key", basic("rgk_none", keySecret), 401, "INVALID_TOKEN", ""},
		{"another client's id and secret", basic(clientID, clientSecret), 401, "INVALID_TOKEN", ""},
		{"Basic that is not base64", header{"Authorization": "Basic !"}, 401, "INVALID_TOKEN", ""},
		{"a scheme and nothing", header{"Authorization": "Bearer"}, 401, "INVALID_TOKEN", ""},
		{"an empty Authorization", header{"Authorization": ""}, 401, "INVALID_TOKEN", ""},
		{"another scheme", header{"Authorization": "Digest x"}, 401, "INVALID_TOKEN", ""},
		{"no token at all", bearer("x"), 401, "INVALID_TOKEN", ""},
		{"an expired token", token(func(c *meshtest.Claims) { c.Expiry = time.Now().Add(-time.Hour) }), 401, "INVALID_TOKEN", ""},
		{"a token for another audience", token(func(c *meshtest.Claims) { c.Audience = []string{"urn:other"} }), 401, "INVALID_TOKEN", ""},
		{"an ID token", token(func(c *meshtest.Claims) { c.Header = map[string]any{"typ": "JWT"} }), 401, "INVALID_TOKEN", ""},
		{"an unsigned token", token(func(c *meshtest.Claims) { c.Header = map[string]any{"alg": "none"} }), 401, "INVALID_TOKEN", ""},
		{"a token of another issuer", token(func(c *meshtest.Claims) { c.Extra = map[string]any{"iss": "https://evil.example"} }), 401, "INVALID_TOKEN", ""},
		{"a token of enormous length", bearer(strings.Repeat("A", 20_000)), 401, "INVALID_TOKEN", ""},
		{"a token without the scope", token(func(c *meshtest.Claims) { c.Scopes = nil }), 403, "SCOPE_MISSING", ""},

		{"a session and a token", both(session, token(func(*meshtest.Claims) {})), 400, "TWO_CREDENTIALS", ""},
		{"a session and an API key", both(session, basic(keyID, keySecret)), 400, "TWO_CREDENTIALS", ""},
		{"a session that is over and a token", both(header{"Cookie": "realguardio-session=x"}, token(func(*meshtest.Claims) {})), 400, "TWO_CREDENTIALS", ""},
		{"a session and an empty Authorization", both(session, header{"Authorization": ""}), 400, "TWO_CREDENTIALS", ""},
		{"two tokens", both(token(func(*meshtest.Claims) {}), token(func(*meshtest.Claims) {})), 400, "TWO_CREDENTIALS", ""},
		{"two tokens in one header", header{"Authorization": "Bearer a, Bearer b"}, 400, "TWO_CREDENTIALS", ""},
		{"two sessions", header{"Cookie": session["Cookie"] + "; " + session["Cookie"]}, 400, "TWO_CREDENTIALS", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			r := g.do(t, http.MethodGet, "/api/v1/securitysystems", "", tt.headers).want(t, tt.status, tt.reason)
			calls := w.backend.take()
			if tt.status != 200 {
				if len(calls) != 0 {
					t.Errorf("the service was called by %v", calls[0].caller)
				}
				challenge := r.Header.Get("WWW-Authenticate")
				if (tt.status == 401) != strings.Contains(challenge, "Bearer") && tt.status != 403 || tt.reason == "INVALID_TOKEN" && !strings.Contains(challenge, `error="invalid_token"`) ||
					tt.status == 403 && !strings.Contains(challenge, `error="insufficient_scope"`) {
					t.Errorf("WWW-Authenticate: %s", challenge)
				}
			} else if len(calls) != 1 || calls[0].caller.Subject != tt.caller {
				t.Errorf("the service saw %v", calls)
			}
			if forward := g.do(t, http.MethodGet, "/oauth2/auth", "", tt.headers); tt.status != 403 && forward.StatusCode != map[int]int{200: 202, 401: 401, 400: 400}[tt.status] {
				t.Errorf("/oauth2/auth answers %d", forward.StatusCode)
			}
		})
	}
}

func TestAnAPIKeyIsExchangedOnce(t *testing.T) {
	w := newWorld(t)
	w.idp.apiKeys[keyID] = keySecret
	g := w.gateway(t)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { g.do(t, http.MethodGet, "/api/securitysystems", "", basic(keyID, keySecret)).want(t, 200, "") })
	}
	all.Wait()
	g.do(t, http.MethodGet, "/api/securitysystems", "", bearer(keyID+"."+keySecret)).want(t, 200, "")
	if n := w.idp.count("client_credentials"); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	t.Run("a wrong secret is not helped by the right one's token, and not remembered", func(t *testing.T) {
		g.do(t, http.MethodGet, "/api/securitysystems", "", basic(keyID, "wrong")).want(t, 401, "INVALID_TOKEN")
		g.do(t, http.MethodGet, "/api/securitysystems", "", basic(keyID, "later")).want(t, 401, "INVALID_TOKEN")
		w.idp.set(func(p *idp) { p.apiKeys[keyID] = "later" })
		g.do(t, http.MethodGet, "/api/securitysystems", "", basic(keyID, "later")).want(t, 200, "")
	})
	t.Run("with the provider down what was exchanged goes on, the rest is 503", func(t *testing.T) {
		w.idp.set(func(p *idp) { p.down = true })
		defer w.idp.set(func(p *idp) { p.down = false })
		g.do(t, http.MethodGet, "/api/securitysystems", "", basic(keyID, "later")).want(t, 200, "")
		g.do(t, http.MethodGet, "/api/securitysystems", "", basic("rgk_new", "x")).want(t, 503, "DEPENDENCY_DOWN")
	})
	t.Run("a key revoked between two requests is refused on the second", func(t *testing.T) {
		w.idp.set(func(p *idp) { delete(p.apiKeys, keyID) })
		if err := w.revoked.Add(revocation.Entry{Kind: revocation.Client, Value: keyID}); err != nil {
			t.Fatal(err)
		}
		w.backend.take()
		g.do(t, http.MethodGet, "/api/securitysystems", "", basic(keyID, "later")).want(t, 401, "INVALID_TOKEN")
		if len(w.backend.take()) != 0 {
			t.Error("the service was called")
		}
	})
	t.Run("guessing secrets is slowed down", func(t *testing.T) {
		var last reply
		for i := range 40 {
			last = g.do(t, http.MethodGet, "/api/securitysystems", "", basic("rgk_victim", fmt.Sprint("guess", i)))
		}
		last.want(t, http.StatusTooManyRequests, "RATE_LIMITED")
		if last.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
}

func TestWhatAServiceSees(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t, func(c *gateway.Config) { c.Proxies.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	b := g.signedIn(t)
	w.backend.take()
	b.get(t, "/api/v1/securitysystems", header{
		"Grpc-Metadata-Authorization": "Bearer evil", "Grpc-Metadata-X-User-Id": "u-eve", "Grpc-Metadata-X-Forwarded-For": "6.6.6.6",
		"Grpc-Timeout": "1n", "Grpc-Metadata-Evil-Bin": "AAAA", "X-Evil-Bin": "AAAA", "Te": "trailers", "X-User-Id": "u-eve", "X-Tenant": "t",
		"X-Forwarded-Client-Cert": "By=spiffe://evil", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "9.9.9.9, 203.0.113.7",
		"X-HTTP-Method-Override": "DELETE", "Authority": "evil", "Grpcgateway-Authorization": "evil", "X-Client-Cert": "evil",
		"Accept-Language": "de", "Idempotency-Key": "k1", "X-Request-Id": "req-1", "Traceparent": strangersTrace,
		"Tracestate": "evil=1", "Baggage": "user=u-eve", "Mesh-Client": "9.9.9.9", "Grpc-Metadata-Mesh-Client": "9.9.9.9",
	}).want(t, http.StatusOK, "")
	calls := w.backend.take()
	if len(calls) != 1 || calls[0].caller.Subject != "u-alice" {
		t.Fatalf("the service saw %v", calls)
	}
	md := calls[0].metadata
	if auth := md.Get("authorization"); len(auth) != 1 || !strings.HasPrefix(auth[0], "Bearer eyJ") {
		t.Errorf("%d authorization values", len(auth))
	}
	want := map[string]string{"accept-language": "de", "idempotency-key": "k1", "x-request-id": "req-1", "x-forwarded-for": "203.0.113.7", "mesh-client": "203.0.113.7"}
	for key, value := range want {
		if got := md.Get(key); len(got) != 1 || got[0] != value {
			t.Errorf("%s is %v; want %s", key, got, value)
		}
	}
	for key := range md {
		switch {
		case key == "traceparent" && len(md[key]) == 1 && md[key][0] != strangersTrace: // the gateway's own
		case want[key] != "", key == "authorization", key == ":authority", key == "content-type", key == "user-agent", key == "grpc-accept-encoding", key == "mesh-token-ref":
		default:
			t.Errorf("the service saw %s = %v", key, md[key])
		}
	}
}

// strangersTrace is the place in a trace that somebody outside claims.
const strangersTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestREST(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t)
	b := g.signedIn(t)
	tests := []struct {
		name, method, path, body string
		headers                  header
		status                   int
		reason                   string
		// contains is text that the answer must hold.
		contains string
	}{
		{name: "a list, with every field there", method: "GET", path: "/api/v1/securitysystems", status: 200, contains: `"faults":[]`},
		{name: "the article's path without a version", method: "GET", path: "/api/securitysystems", status: 200, contains: `"nextPageToken":""`},
		{name: "one resource, as itself", method: "GET", path: "/api/v1/securitysystems/sys_1", status: 200, contains: `"locationName":"Oakland"`},
		{name: "one resource, without a version", method: "GET", path: "/api/securitysystems/sys_1", status: 200, contains: `"id":"sys_1"`},
		{name: "a creation is 201", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"loc_1"}`, status: 201, contains: `"id":"sys_1"`},
		{name: "an action is 200, and needs no body", method: "POST", path: "/api/v1/securitysystems/sys_1:arm", status: 200, contains: `"state":"DISARMED"`},
		{name: "an action with charset", method: "POST", path: "/api/v1/securitysystems/sys_1:arm", body: `{"mode":"STAY"}`, headers: header{"Content-Type": "application/json; charset=utf-8"}, status: 200},

		{name: "no such path", method: "GET", path: "/api/v1/nothing", status: 404, reason: "NOT_FOUND"},
		{name: "no such version", method: "GET", path: "/api/v2/securitysystems", status: 404, reason: "NOT_FOUND"},
		{name: "no such auth route", method: "GET", path: "/api/auth/nothing", status: 404, reason: "NOT_FOUND"},
		{name: "a wrong method", method: "PUT", path: "/api/v1/securitysystems", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "a wrong method on an auth route", method: "DELETE", path: "/api/auth/session", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "TRACE", method: "TRACE", path: "/api/v1/securitysystems", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "a method of their own", method: "BREW", path: "/api/v1/securitysystems", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "a method overridden", method: "POST", path: "/api/v1/securitysystems/sys_1", headers: header{"X-HTTP-Method-Override": "DELETE", "Content-Type": "application/x-www-form-urlencoded"}, status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "a method overridden in the query", method: "POST", path: "/api/v1/securitysystems/sys_1?_method=DELETE", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "a form", method: "POST", path: "/api/v1/securitysystems", body: "locationId=x", headers: header{"Content-Type": "application/x-www-form-urlencoded"}, status: 415, reason: "UNSUPPORTED_MEDIA_TYPE"},
		{name: "no content type", method: "POST", path: "/api/v1/securitysystems", body: "{}", headers: header{"Content-Type": ""}, status: 415, reason: "UNSUPPORTED_MEDIA_TYPE"},
		{name: "a body too large", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413, reason: "TOO_LARGE", contains: `larger than 1 MB`},
		{name: "half a body", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":`, status: 400, reason: "INVALID_FIELD", contains: `"field":"body"`},
		{name: "an array", method: "POST", path: "/api/v1/securitysystems", body: `[]`, status: 400, reason: "INVALID_FIELD", contains: `"field":"body"`},
		{name: "two objects", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"a"}{"locationId":"b"}`, status: 400, reason: "INVALID_FIELD", contains: `"field":"body"`},
		{name: "an unknown field", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"a","owner":"me"}`, status: 400, reason: "INVALID_FIELD", contains: `"field":"owner"`},
		{name: "a field twice", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"a","locationId":"b"}`, status: 400, reason: "INVALID_FIELD", contains: `twice`},
		{name: "a field under both its names", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"a","location_id":"b"}`, status: 400, reason: "INVALID_FIELD", contains: `twice`},
		{name: "a number where a string belongs", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":7}`, status: 400, reason: "INVALID_FIELD", contains: `"field":"locationId","description":"must be a string"`},
		{name: "an unknown enum", method: "POST", path: "/api/v1/securitysystems/sys_1:arm", body: `{"mode":"SOMETIMES"}`, status: 400, reason: "INVALID_FIELD", contains: `must be one of AWAY, STAY, NIGHT`},
		{name: "what the proto forbids", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":""}`, status: 400, reason: "INVALID_FIELD", contains: `"field":"locationId"`},
		{name: "a query of the wrong type", method: "GET", path: "/api/v1/securitysystems?pageSize=many", status: 400, reason: "INVALID_FIELD", contains: `"field":"pageSize"`},
		{name: "a query out of range", method: "GET", path: "/api/v1/securitysystems?pageSize=-1", status: 400, reason: "INVALID_FIELD", contains: `"field":"pageSize"`},
		{name: "a query twice", method: "GET", path: "/api/v1/securitysystems?pageSize=1&pageSize=2", status: 400, reason: "INVALID_FIELD", contains: `"field":"pageSize","description":"must be given once"`},
		{name: "a query under both its names", method: "GET", path: "/api/v1/securitysystems?pageSize=1&page_size=1", status: 400, reason: "INVALID_FIELD", contains: `"field":"pageSize","description":"must be given once"`},
		{name: "an unknown query", method: "GET", path: "/api/v1/securitysystems?bogus=1", status: 400, reason: "INVALID_FIELD", contains: `"field":"bogus","description":"is not a parameter of this request"`},
		{name: "several unknown queries", method: "GET", path: "/api/v1/securitysystems?filter=x&bogus=1", status: 400, reason: "INVALID_FIELD", contains: `"field":"filter"`},
		{name: "a query for a field in the path", method: "GET", path: "/api/v1/securitysystems/sys_1?securitySystemId=sys_1", status: 400, reason: "INVALID_FIELD", contains: `"field":"securitySystemId","description":"belongs in the path"`},
		{name: "a query for a field in the body", method: "POST", path: "/api/v1/securitysystems/sys_1:arm?mode=STAY", body: "{}", status: 400, reason: "INVALID_FIELD", contains: `"field":"mode","description":"belongs in the body"`},
		{name: "a query with a semicolon", method: "GET", path: "/api/v1/securitysystems?pageSize=1;x=2", status: 400, reason: "INVALID_FIELD", contains: `"field":"query"`},
		{name: "a query that is badly encoded", method: "GET", path: "/api/v1/securitysystems?pageToken=%zz", status: 400, reason: "INVALID_FIELD", contains: `"field":"query"`},
		{name: "a query under its name in the proto", method: "GET", path: "/api/v1/securitysystems?page_size=1", status: 200},
		{name: "bytes that are no text in the path", method: "GET", path: "/api/v1/securitysystems/%ff", status: 400, reason: "INVALID_FIELD", contains: `"field":"securitySystemId","description":"must be UTF-8 text without NUL"`},
		{name: "bytes that are no text in a path without a version", method: "POST", path: "/api/securitysystems/a%c3%28:arm", status: 400, reason: "INVALID_FIELD", contains: `"field":"securitySystemId"`},
		{name: "NUL in the path", method: "GET", path: "/api/v1/securitysystems/a%00b", status: 400, reason: "INVALID_FIELD", contains: `"field":"securitySystemId"`},
		{name: "bytes that are no text in the query", method: "GET", path: "/api/v1/securitysystems?pageToken=%ff", status: 400, reason: "INVALID_FIELD", contains: `"field":"pageToken"`},
		{name: "NUL in the query", method: "GET", path: "/api/v1/securitysystems?pageToken=a%00", status: 400, reason: "INVALID_FIELD", contains: `"field":"pageToken"`},
		{name: "bytes that are no text in the body", method: "POST", path: "/api/v1/securitysystems", body: "{\"locationId\":\"\xff\"}", status: 400, reason: "INVALID_FIELD", contains: `"field":"locationId","description":"must be UTF-8 text without NUL"`},
		{name: "NUL in the body", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"a\u0000"}`, status: 400, reason: "INVALID_FIELD", contains: `"field":"locationId","description":"must be UTF-8 text without NUL"`},
		{name: "a backslash before what looks like NUL", method: "POST", path: "/api/v1/securitysystems", body: `{"locationId":"a\\u0000"}`, status: 201},
		{name: "bytes that are no text in If-Match", method: "DELETE", path: "/api/v1/securitysystems/sys_1", headers: header{"If-Match": "\"\xe9\""}, status: 400, reason: "INVALID_FIELD", contains: `"field":"If-Match"`},
		{name: "letters beyond ASCII in If-Match", method: "POST", path: "/api/v1/securitysystems/sys_1:arm", body: "{}", headers: header{"If-Match": `"é"`}, status: 400, reason: "INVALID_FIELD", contains: `"field":"If-Match"`},
		{name: "letters beyond ASCII in Idempotency-Key", method: "POST", path: "/api/v1/securitysystems/sys_1:arm", body: "{}", headers: header{"Idempotency-Key": "é"}, status: 400, reason: "INVALID_FIELD", contains: `"field":"Idempotency-Key"`},
		{name: "another id in the body than in the path", method: "POST", path: "/api/v1/securitysystems/A:arm", body: `{"securitySystemId":"B"}`, status: 400, reason: "INVALID_FIELD", contains: `"field":"securitySystemId","description":"differs from the one in the path"`},
		{name: "the same id in the body and in the path", method: "POST", path: "/api/v1/securitysystems/A:arm", body: `{"security_system_id":"A"}`, status: 200},
		{name: "a line break in the path", method: "GET", path: "/api/v1/securitysystems/a%0d%0aSet-Cookie:%20x=y", status: 200},
		{name: "a slash in an id", method: "GET", path: "/api/v1/securitysystems/a%2Fevents", status: 200},
		{name: "an internal method has no path", method: "POST", path: "/realguardio.securitysystem.v1.SecuritySystemService/HasSystemAt", body: "{}", status: 405},
		{name: "a fault of a service stays inside", method: "POST", path: "/api/v1/customers/c1/locations", body: `{"name":"x"}`, status: 500, reason: "INTERNAL", contains: `"detail":"internal error"`},
		{name: "a panic of a service stays inside", method: "POST", path: "/api/v1/customers/c1/teams", body: `{"name":"x"}`, status: 500, reason: "INTERNAL", contains: `"detail":"internal error"`},
		{name: "a method that a service lacks", method: "PATCH", path: "/api/v1/customers/c1/locations/l1", body: `{"name":"x"}`, status: 501, reason: "UNIMPLEMENTED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			h := header{"X-CSRF-Token": b.csrf}
			for k, v := range tt.headers {
				h[k] = v
			}
			r := b.do(t, tt.method, tt.path, tt.body, h).want(t, tt.status, tt.reason)
			if !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(r.body, `": `, `":`), `, "`, `,"`), tt.contains) {
				t.Errorf("answer is %s; want %s in it", r.body, tt.contains)
			}
			if r.Header.Get("Set-Cookie") != "" || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers are %v", r.Header)
			}
			if calls := w.backend.take(); tt.status >= 400 && len(calls) != 0 {
				t.Errorf("the service was called: %+v", calls)
			}
		})
	}
}

func TestALanguageThatGRPCCannotCarryIsDropped(t *testing.T) {
	w := newWorld(t)
	b := w.gateway(t).signedIn(t)
	for language, seen := range map[string]string{"de, en;q=0.5": "de, en;q=0.5", "dé": "", "\xff": "", "de,\ten": ""} {
		w.backend.take()
		b.get(t, "/api/v1/securitysystems", header{"Accept-Language": language}).want(t, http.StatusOK, "")
		if got := strings.Join(w.backend.take()[0].metadata.Get("accept-language"), "|"); got != seen {
			t.Errorf("%q became %q", language, got)
		}
	}
}

func TestAMethodThatIsNotAllowedIsToldWhichAre(t *testing.T) {
	w := newWorld(t)
	b := w.gateway(t).signedIn(t)
	for _, tt := range []struct{ name, method, path, allow string }{
		{"a collection", "PUT", "/api/v1/securitysystems", "GET, POST"},
		{"a collection, without a version", "PATCH", "/api/securitysystems", "GET, POST"},
		{"a resource", "POST", "/api/v1/securitysystems/sys_1", "DELETE, GET"},
		{"a resource that can be changed", "POST", "/api/v1/customers/c1/locations/l1", "DELETE, GET, PATCH"},
		{"what can only be made", "GET", "/api/v1/securitysystems/sys_1/panel", "POST"},
		{"a route of the gateway's own", "DELETE", "/api/auth/session", "GET, HEAD, POST"},
		{"a method that no route has", "BREW", "/api/v1/securitysystems", "DELETE, GET, HEAD, PATCH, POST, PUT"},
		{"a preflight of nobody", "OPTIONS", "/api/v1/securitysystems", "DELETE, GET, HEAD, PATCH, POST, PUT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			r := b.do(t, tt.method, tt.path, "", header{"X-CSRF-Token": b.csrf}).want(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
			if got := r.Header["Allow"]; len(got) != 1 || got[0] != tt.allow {
				t.Errorf("Allow is %q, want %q", got, tt.allow)
			}
			if calls := w.backend.take(); len(calls) != 0 {
				t.Errorf("the service was called: %+v", calls)
			}
		})
	}
}

func TestETags(t *testing.T) {
	w := newWorld(t)
	b := w.gateway(t).signedIn(t)
	if got := b.get(t, "/api/v1/securitysystems/sys_1").Header.Get("ETag"); got != `"e1"` {
		t.Errorf("ETag is %s", got)
	}
	if got := b.get(t, "/api/v1/securitysystems").Header.Get("ETag"); got != "" {
		t.Errorf("ETag of a list is %s", got)
	}
	for _, tt := range []struct {
		name, method, path, body, ifMatch string
		status                            int
		want                              string
	}{
		{"If-Match becomes the etag", "POST", "/api/v1/securitysystems/sys_1:arm", "{}", `"e1"`, 200, "e1"},
		{"without a body", "POST", "/api/v1/securitysystems/sys_1:arm", "", `"e1"`, 200, "e1"},
		{"unquoted", "POST", "/api/v1/securitysystems/sys_1:arm", "{}", `e1`, 200, "e1"},
		{"any", "POST", "/api/v1/securitysystems/sys_1:arm", "{}", `*`, 200, ""},
		{"in the body", "POST", "/api/v1/securitysystems/sys_1:arm", `{"etag":"e1"}`, "", 200, "e1"},
		{"the same twice", "POST", "/api/v1/securitysystems/sys_1:arm", `{"etag":"e1"}`, `"e1"`, 200, "e1"},
		{"two different", "POST", "/api/v1/securitysystems/sys_1:arm", `{"etag":"e1"}`, `"e2"`, 400, ""},
		{"a list", "POST", "/api/v1/securitysystems/sys_1:arm", `{}`, `"e1", "e2"`, 400, ""},
		{"a weak one", "POST", "/api/v1/securitysystems/sys_1:arm", `{}`, `W/"e1"`, 400, ""},
		{"of a deletion", "DELETE", "/api/v1/securitysystems/sys_1", "", `"e1"`, 200, "e1"},
		{"where there is no etag", "POST", "/api/v1/securitysystems", `{"locationId":"l"}`, `"e1"`, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			h := header{"X-CSRF-Token": b.csrf}
			if tt.ifMatch != "" {
				h["If-Match"] = tt.ifMatch
			}
			b.do(t, tt.method, tt.path, tt.body, h).want(t, tt.status, "")
			calls := w.backend.take()
			if tt.status != 200 {
				if len(calls) != 0 {
					t.Error("the service was called")
				}
				return
			}
			if got := calls[0].request.(interface{ GetEtag() string }).GetEtag(); got != tt.want {
				t.Errorf("the service got the etag %q; want %q", got, tt.want)
			}
		})
	}
}

func TestRefusalsOfAService(t *testing.T) {
	w := newWorld(t)
	b := w.gateway(t).signedIn(t)
	for _, tt := range []struct {
		name   string
		err    error
		status int
		reason string
		detail string
	}{
		{"not found", mesh.NotFound("security system", "sys_1"), 404, "NOT_FOUND", "security system not found"},
		{"a duplicate", mesh.AlreadyExists("security system", "there is one already"), 409, "ALREADY_EXISTS", "there is one already"},
		{"a wrong state", mesh.FailedPrecondition("ALARMED", "it is alarmed"), 409, "ALARMED", "it is alarmed"},
		{"a stale etag", mesh.Aborted(mesh.ReasonETagMismatch, "changed meanwhile"), 409, "ETAG_MISMATCH", "changed meanwhile"},
		{"a missing role", mesh.PermissionDenied("ROLE_MISSING", "needs SECURITY_SYSTEM_ARMER"), 403, "ROLE_MISSING", "needs SECURITY_SYSTEM_ARMER"},
		{"a bad field", mesh.InvalidField("mode", "no"), 400, "INVALID_FIELD", "mode: no"},
		{"too often", mesh.ResourceExhausted("QUOTA", 3*time.Second), 429, "QUOTA", "too many requests"},
		{"something it needs is down", mesh.Unavailable("the customer service"), 503, "DEPENDENCY_DOWN", "the customer service cannot be reached now"},
		{"an error of its own", status.Error(codes.Internal, "SELECT * FROM secrets"), 500, "INTERNAL", "internal error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.refuse(tt.err)
			r := b.get(t, "/api/v1/securitysystems/sys_1").want(t, tt.status, tt.reason)
			if r.json(t)["detail"] != tt.detail || r.Header.Get("ETag") != "" {
				t.Errorf("answer is %s", r.body)
			}
			if after := r.Header.Get("Retry-After"); (tt.status == 429 && after != "3") || (tt.status == 503 && after == "") {
				t.Errorf("Retry-After: %q", after)
			}
		})
	}
}

func TestRefreshOverReplicas(t *testing.T) {
	redistest.Each(t, func(t *testing.T, server *redistest.Server) {
		w := newWorldOn(t, server)
		replicas := []*gate{w.gateway(t), w.gateway(t), w.gateway(t)}
		w.idp.set(func(p *idp) { p.life = 20 * time.Second }) // less than what is left alone
		b := replicas[0].signedIn(t)
		w.idp.set(func(p *idp) { p.life = 5 * time.Minute })
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() { b.at(replicas[i%3]).get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "") })
		}
		all.Wait()
		if n := w.idp.count("refresh_token"); n != 1 {
			t.Errorf("%d token calls", n)
		}
	})
}

func TestProviderDownDuringARefresh(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t)
	w.idp.set(func(p *idp) { p.life = -10 * time.Second }) // over, but within what clocks may differ
	b := g.signedIn(t)
	w.idp.set(func(p *idp) { p.life, p.down = 5*time.Minute, true })
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusServiceUnavailable, "DEPENDENCY_DOWN")
	b.get(t, "/api/auth/session").want(t, http.StatusServiceUnavailable, "DEPENDENCY_DOWN")
	w.idp.set(func(p *idp) { p.down = false })
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	t.Run("a provider that ends the grant ends the session", func(t *testing.T) {
		w.idp.set(func(p *idp) { p.life = -10 * time.Second })
		b := g.signedIn(t)
		w.idp.set(func(p *idp) { clear(p.grants) })
		b.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	})
}

func TestRedisStopsAndStarts(t *testing.T) {
	redistest.Each(t, func(t *testing.T, server *redistest.Server) {
		w := newWorldOn(t, server)
		g := w.gateway(t)
		b := g.signedIn(t)
		server.Stop()
		began := time.Now()
		for range 20 {
			b.get(t, "/api/v1/securitysystems").want(t, http.StatusServiceUnavailable, "DEPENDENCY_DOWN")
			b.get(t, "/api/auth/session").want(t, http.StatusServiceUnavailable, "DEPENDENCY_DOWN")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("40 refusals took %v", took)
		}
		if len(w.backend.take()) != 0 {
			t.Error("somebody was let in")
		}
		token := w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}})
		g.do(t, http.MethodGet, "/api/v1/securitysystems", "", bearer(token)).want(t, http.StatusOK, "")
		server.Start()
		redistest.Eventually(t, "signing in works again", func() bool {
			fresh := g.browser(t)
			fresh.token(t)
			return g.gateway.RedisReady(context.Background()) == nil
		})
		g.signedIn(t).get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	})
}

func TestABackendThatIsDown(t *testing.T) {
	w := newWorld(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	conn, err := mesh.Dial(mesh.DialConfig{Target: dead.Addr().String(), TLS: w.idp.CA.Client(t, "gateway"), Propagation: mesh.PerCall()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	b := w.gateway(t, func(c *gateway.Config) { c.Backends[0].Conn = conn }).signedIn(t)
	r := b.get(t, "/api/v1/securitysystems").want(t, http.StatusServiceUnavailable, "DEPENDENCY_DOWN")
	if strings.Contains(r.body, "127.0.0.1") || r.Header.Get("Retry-After") == "" {
		t.Errorf("answer is %v %s", r.Header, r.body)
	}
}

func TestNavigation(t *testing.T) {
	g := newWorld(t).gateway(t)
	person := header{"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}
	if r := g.do(t, http.MethodGet, "/api/v1/securitysystems?pageSize=1", "", person); r.StatusCode != http.StatusFound ||
		r.Header.Get("Location") != "/api/auth/signin?callbackUrl=%2Fapi%2Fv1%2Fsecuritysystems%3FpageSize%3D1" {
		t.Errorf("a person is sent to %d %s", r.StatusCode, r.Header.Get("Location"))
	}
	for _, script := range []header{{}, {"Accept": "*/*"}, {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, {"User-Agent": "kube-probe/1.30"}} {
		g.do(t, http.MethodGet, "/api/v1/securitysystems", "", script).want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	}
}

func TestRateLimits(t *testing.T) {
	w := newWorld(t)
	few := ratelimit.Limit{PerSecond: 0.001, Burst: 3}
	g := w.gateway(t, func(c *gateway.Config) { c.Limits.Caller = few })
	b, other := g.signedIn(t), g.signedIn(t)
	for range 3 {
		b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	}
	if r := b.get(t, "/api/v1/securitysystems").want(t, http.StatusTooManyRequests, "RATE_LIMITED"); r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	other.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")

	g = w.gateway(t, func(c *gateway.Config) { c.Limits.Address = few })
	for range 3 {
		g.do(t, http.MethodGet, "/", "").want(t, http.StatusOK, "")
	}
	g.do(t, http.MethodGet, "/", "", header{"X-Forwarded-For": "203.0.113.9"}).want(t, http.StatusTooManyRequests, "RATE_LIMITED")
}

func TestNativeCallsAreLimitedToo(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t, func(c *gateway.Config) { c.Limits.Caller = ratelimit.Limit{PerSecond: 0.001, Burst: 3} })
	client := securitysystemv1.NewSecuritySystemServiceClient(g.dial(t))
	get := func(subject string) error {
		token := w.idp.Token(t, meshtest.Claims{Subject: subject, Scopes: []string{"securitysystem.read"}})
		_, err := client.GetSecuritySystem(authorized(t.Context(), "Bearer "+token), &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"})
		return err
	}
	for range 3 {
		if err := get("u-mary"); err != nil {
			t.Fatal(err)
		}
	}
	if err := get("u-mary"); status.Code(err) != codes.ResourceExhausted || mesh.Reason(err) != "RATE_LIMITED" {
		t.Errorf("the fourth call: %v", err)
	}
	if err := get("u-bob"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

func TestOneCallerDoesNotTakeTheConnectionThatAllShare(t *testing.T) {
	w := newWorld(t)
	w.backend.stream = func(stream grpc.ServerStream) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	usual := w.gateway(t).dial(t)
	told := w.gateway(t, func(cfg *gateway.Config) { cfg.Limits.EachStreams, cfg.Limits.EachCalls = 3, 5 }).dial(t)
	as := func(subject, client string) context.Context {
		return authorized(t.Context(), "Bearer "+w.idp.Token(t, meshtest.Claims{
			Subject: subject, ClientID: client, Scopes: []string{"securitysystem.read"},
		}))
	}
	get := func(conn *grpc.ClientConn, subject string) error {
		_, err := securitysystemv1.NewSecuritySystemServiceClient(conn).GetSecuritySystem(as(subject, ""), &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"})
		return err
	}
	for _, tt := range []struct {
		name, method string
		conn         *grpc.ClientConn
		most         int
		reason       string
	}{
		{"by streams", "/test.gateway.v1.Streams/Chat", usual, 16, "TOO_MANY_LISTENERS"},
		{"by calls whose request never comes", "/realguardio.securitysystem.v1.SecuritySystemService/GetSecuritySystem", usual, 100, "TOO_MANY_CALLS"},
		{"by streams, of as many as it is told", "/test.gateway.v1.Streams/Chat", told, 3, "TOO_MANY_LISTENERS"},
		{"by calls, of as many as it is told", "/realguardio.securitysystem.v1.SecuritySystemService/GetSecuritySystem", told, 5, "TOO_MANY_CALLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan error, tt.most+1)
			for i := range tt.most + 1 {
				stream, err := tt.conn.NewStream(as("u-mary", "app-"+strconv.Itoa(i%3)), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, tt.method)
				if err != nil {
					t.Fatal(err)
				}
				go func() { ended <- stream.RecvMsg(&emptypb.Empty{}) }()
			}
			// One of them is too many.
			if err := <-ended; status.Code(err) != codes.ResourceExhausted || mesh.Reason(err) != tt.reason {
				t.Fatalf("one more ends with %v", err)
			}
			if err := get(tt.conn, "u-bob"); err != nil {
				t.Errorf("somebody else: %v", err)
			}
		})
	}
}
