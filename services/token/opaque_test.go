package token_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
)

const opaqueSecret = "rgs_opaque-secret-for-tests"

// opaqueClient adds a client with opaque tokens.
func (s *server) opaqueClient() *server {
	s.t.Helper()
	if _, err := s.EnsureClient(s.t.Context(), token.ClientSpec{ID: "opaque", Name: "Opaque", Secret: s.logs.secret(opaqueSecret), OpaqueTokens: true,
		Grants: append([]string{"client_credentials"}, codeGrants...), RedirectURIs: []string{webCallback}, FirstParty: true,
		Scopes: []string{"openid", "profile", "email", "offline_access", "securitysystem.read"}}); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// opaqueTokens signs alice in at the client with opaque tokens.
func (s *server) opaqueTokens(b *browser) reply {
	s.t.Helper()
	r := s.post("/oauth2/token", "opaque", opaqueSecret, redeems(b.code(asks("opaque", webCallback)), webCallback))
	if !strings.HasPrefix(r.str("access_token"), "rgo_") {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	return r
}

func (s *server) introspect(client, secret, token string) reply {
	s.t.Helper()
	return s.post("/oauth2/introspect", client, secret, url.Values{"token": {token}})
}

// jwtForm asks for the JWT that says what a token means.
func (s *server) jwtForm(client, accept, token string) reply {
	s.t.Helper()
	secret := serviceSecret
	if client == "opaque" {
		secret = opaqueSecret
	}
	got := s.accepting(accept, "/oauth2/introspect", client, secret, url.Values{"token": {token}})
	s.logs.secret(got.body)
	return got
}

// accepting is post by who says what kind of answer they take.
func (s *server) accepting(accept, path, client, secret string, form url.Values) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", accept)
	if client != "" {
		r.SetBasicAuth(client, url.QueryEscape(secret))
	}
	return s.do(plain, r)
}

func TestAnOpaqueTokenTellsNothingAndIsGoodForAsMuch(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		here := start(t, st).opaqueClient().exchangers()
		tokens := here.opaqueTokens(here.browser())
		opaque := tokens.str("access_token")
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(opaque, "rgo_"))
		if err != nil || strings.Contains(string(raw), "sub") || strings.Contains(string(raw), alice) {
			t.Errorf("it tells %q, %v", raw, err)
		}
		s := here.again(st) // another process: nothing is remembered
		if !s.accepted(opaque) {
			t.Error("UserInfo refuses it")
		}
		said := s.introspect("opaque", opaqueSecret, opaque)
		if said.json["active"] != true || said.str("client_id") != "opaque" || said.str("token_type") != "Bearer" || said.str("sub") == "" ||
			said.str("scope") != "openid profile email securitysystem.read" {
			t.Errorf("%s", said.body)
		}
		form := s.jwtForm("gateway", "application/jwt", opaque)
		if form.status != http.StatusOK || form.header.Get("Content-Type") != "application/jwt" || form.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", form.status, form.header, form.body)
		}
		if told := claims(t, form.body); told["jti"] != said.json["jti"] || told["sub"] != said.json["sub"] || told["sid"] != said.json["sid"] ||
			told["exp"] != said.json["exp"] || !reflect.DeepEqual(told["aud"], said.json["aud"]) {
			t.Errorf("the JWT says %v, introspection %v", told, said.json)
		}
		me := tokenv1.NewAccountServiceClient(s.serveRPC().dial("customer"))
		if got, err := me.GetMe(meshtest.As(t.Context(), form.body), &tokenv1.GetMeRequest{}); err != nil || got.GetUser().GetEmail() != alice {
			t.Errorf("the mesh: %v, %v", got, err)
		}
		if _, err := me.GetMe(meshtest.As(t.Context(), opaque), &tokenv1.GetMeRequest{}); err == nil {
			t.Error("the mesh took what it cannot read")
		}
		if r := s.exchange("customer", opaque); r.status != http.StatusOK || claims(t, r.str("access_token"))["client_id"] != "opaque" {
			t.Errorf("exchange: %d %s", r.status, r.body)
		}
		if r := s.machine("opaque", opaqueSecret); !strings.HasPrefix(r.str("access_token"), "rgo_") {
			t.Errorf("its own token: %s", r.body)
		}
	})
}

func TestOnlyAResourceServerGetsTheJWTForm(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).opaqueClient()
		opaque := s.opaqueTokens(s.browser()).str("access_token")
		for name, accept := range map[string]string{"among others": "application/json, application/jwt;q=0.9", "in capitals": "Application/JWT"} {
			if r := s.jwtForm("gateway", accept, opaque); r.header.Get("Content-Type") != "application/jwt" {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		for name, r := range map[string]reply{
			"its own client":       s.jwtForm("opaque", "application/jwt", opaque),
			"who accepts anything": s.jwtForm("gateway", "*/*", opaque),
		} {
			if r.header.Get("Content-Type") != "application/json" || r.json["active"] != true {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		for name, r := range map[string]reply{
			"no token of ours":       s.jwtForm("gateway", "application/jwt", "rgo_AAAA"),
			"a client that it is no": s.jwtForm("service", "application/jwt", opaque),
		} {
			if strings.TrimSpace(r.body) != `{"active":false}` {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		access := s.tokens().str("access_token")
		if r := s.jwtForm("gateway", "application/jwt", access); r.body != access {
			t.Errorf("a JWT: %s", r.body)
		}
		holder := newKeyHolder(t, "holder")
		holder.ensure(s)
		once := with(holder.assertion(t, holder.claims(s)), "token", "rgo_AAAA")
		if r := s.accepting("application/jwt", "/oauth2/introspect", "", "", once); r.body != `{"active":false}` {
			t.Errorf("by an assertion, which is good once: %d %s", r.status, r.body)
		}
		refused(t, s.jwtForm("nobody", "application/jwt", opaque), 401, "invalid_client")
		for _, kind := range []token.ClientKind{token.Workload, token.APIKey} {
			if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "x", Name: "X", Kind: kind, Grants: []string{"client_credentials"}, OpaqueTokens: true}); err == nil {
				t.Errorf("%s has opaque tokens", kind)
			}
		}
	})
}

func TestAnOpaqueTokenHasOneFormAndOneKey(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).opaqueClient()
		opaque := s.opaqueTokens(s.browser()).str("access_token")
		middle := len(opaque) / 2
		flipped := byte('A')
		if opaque[middle] == 'A' {
			flipped = 'B'
		}
		for name, forged := range map[string]string{
			"a bit":         opaque[:middle] + string(flipped) + opaque[middle+1:],
			"cut":           opaque[:len(opaque)-4],
			"longer":        opaque + "AAAA",
			"padded":        opaque + "=",
			"a line break":  opaque[:middle] + "\n" + opaque[middle:],
			"no more":       "rgo_",
			"another place": "rgo_" + strings.Repeat("A", 9000),
			"a JWT's":       "rgo_" + s.tokens().str("access_token"),
			"capitals":      strings.ToUpper(opaque[:4]) + opaque[4:],
		} {
			if r := s.introspect("opaque", opaqueSecret, forged); r.body != `{"active":false}` {
				t.Errorf("%s: %s", name, r.body)
			}
			if !strings.Contains(forged, "\n") && s.accepted(forged) {
				t.Errorf("%s is accepted", name)
			}
		}
	})
}

func TestAnOpaqueTokenEnds(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st).opaqueClient()
		for name, end := range map[string]func(*browser, reply){
			"by itself": func(*browser, reply) { s.clock.Advance(6 * time.Minute) },
			"revoked": func(_ *browser, tokens reply) {
				s.post("/oauth2/revoke", "opaque", opaqueSecret, url.Values{"token": {tokens.str("access_token")}})
			},
			"with its refresh token": func(_ *browser, tokens reply) {
				s.post("/oauth2/revoke", "opaque", opaqueSecret, url.Values{"token": {tokens.str("refresh_token")}})
			},
			"with the session": func(b *browser, tokens reply) { b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token")) },
		} {
			t.Run(name, func(t *testing.T) {
				b := s.browser()
				tokens := s.opaqueTokens(b)
				if !s.accepted(tokens.str("access_token")) {
					t.Fatal("not accepted to begin with")
				}
				end(b, tokens)
				for _, when := range []string{"at once", "after Redis lost everything"} {
					if s.accepted(tokens.str("access_token")) {
						t.Errorf("%s: accepted", when)
					}
					if r := s.jwtForm("gateway", "application/jwt", tokens.str("access_token")); strings.TrimSpace(r.body) != `{"active":false}` {
						t.Errorf("%s: %s", when, r.body)
					}
					s.redis.FlushAll(context.WithoutCancel(t.Context()))
				}
			})
		}
	})
}

func TestARefreshTokenIsIntrospectedByItsClient(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		tokens := s.tokens()
		first := tokens.str("refresh_token")
		r := s.introspect("web", webSecret, first)
		if r.json["active"] != true || r.str("client_id") != "web" || r.str("sub") == "" || r.str("scope") != "openid profile email securitysystem.read" ||
			r.str("token_type") != "" || r.json["exp"] == nil || r.json["jti"] != nil {
			t.Errorf("%s", r.body)
		}
		second := s.refresh(first).str("refresh_token")
		for name, r := range map[string]reply{
			"another client":    s.introspect("partner", partnerSecret, second),
			"a part":            s.introspect("gateway", serviceSecret, second),
			"one that is spent": s.introspect("web", webSecret, first),
			"a forged one":      s.introspect("web", webSecret, second[:len(second)-4]+"AAAA"),
		} {
			if r.body != `{"active":false}` {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		if r := s.introspect("web", webSecret, second); r.json["active"] != true {
			t.Errorf("asking has ended it: %s", r.body)
		}
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {second}})
		if r := s.introspect("web", webSecret, second); r.body != `{"active":false}` {
			t.Errorf("one that was revoked: %s", r.body)
		}
		gone := s.tokens().str("refresh_token")
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET disabled = TRUE WHERE email = $1`, alice); err != nil {
			t.Fatal(err)
		}
		if r := s.introspect("web", webSecret, gone); r.body != `{"active":false}` {
			t.Errorf("one of somebody disabled: %s", r.body)
		}
		refused(t, s.introspect("web", webSecret, ""), 400, "invalid_request")
	})
}
