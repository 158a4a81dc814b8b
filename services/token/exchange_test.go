package token_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// exchangers adds clients that may exchange tokens: two parts of the mesh, and the web application.
func (s *server) exchangers() *server {
	s.t.Helper()
	for _, c := range []token.ClientSpec{
		{ID: "customer", Name: "Customer service", Secret: serviceSecret, Kind: token.Workload},
		{ID: "securitysystem", Name: "Security system service", Secret: serviceSecret, Kind: token.Workload},
		{ID: "web", Name: "Web app", Secret: webSecret, Grants: codeGrants, RedirectURIs: []string{webCallback}, FirstParty: true,
			PostLogoutURIs: []string{"https://app.example.com/bye"}, Scopes: []string{"openid", "profile", "email", "securitysystem.read", "securitysystem.arm"}},
		{ID: "stranger", Name: "Stranger", Secret: serviceSecret, Scopes: []string{"securitysystem.read", "customer.read"}},
	} {
		c.Grants = append([]string{"client_credentials", oauth.GrantTokenExchange}, c.Grants...)
		if _, err := s.EnsureClient(s.t.Context(), c); err != nil {
			s.t.Fatal(err)
		}
	}
	return s
}

// exchange gets a token for another, as a part of the mesh does.
func (s *server) exchange(part, subject string, more ...string) reply {
	s.t.Helper()
	form := url.Values{"grant_type": {oauth.GrantTokenExchange}, "subject_token": {subject}, "subject_token_type": {oauth.TokenTypeAccess}}
	for i := 0; i < len(more); i += 2 {
		if form.Del(more[i]); more[i+1] != "" {
			form.Set(more[i], more[i+1])
		}
	}
	secret := serviceSecret
	if part == "web" {
		secret = webSecret
	}
	return s.post("/oauth2/token", part, secret, form)
}

// claims reads a JWT without verifying it.
func claims(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", jwt)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestATokenIsExchangedForANarrowerOne(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		subject := s.tokens().str("access_token")
		before := claims(t, subject)
		first := s.exchange("securitysystem", subject, "audience", "urn:realguardio:customer", "scope", "securitysystem.read openid")
		if first.status != http.StatusOK || first.str("issued_token_type") != oauth.TokenTypeAccess || first.str("token_type") != "Bearer" ||
			first.str("refresh_token") != "" || first.str("id_token") != "" || first.str("scope") != "securitysystem.read openid" {
			t.Fatalf("%d %s", first.status, first.body)
		}
		after := claims(t, first.str("access_token"))
		for _, kept := range []string{"iss", "sub", "client_id", "sid", "gid", "roles", "epoch", "auth_time", "acr", "caller", "name", "email"} {
			if !reflect.DeepEqual(before[kept], after[kept]) {
				t.Errorf("%s: %v became %v", kept, before[kept], after[kept])
			}
		}
		if !reflect.DeepEqual(after["aud"], []any{"urn:realguardio:customer"}) || after["jti"] == before["jti"] || after["exp"].(float64) > before["exp"].(float64) ||
			!reflect.DeepEqual(after["act"], map[string]any{"sub": "securitysystem"}) || !reflect.DeepEqual(after["derived_from"], []any{before["jti"]}) {
			t.Errorf("%v", after)
		}
		second := s.exchange("customer", first.str("access_token"))
		if again := claims(t, second.str("access_token")); !reflect.DeepEqual(again["act"], map[string]any{"sub": "customer", "act": map[string]any{"sub": "securitysystem"}}) ||
			!reflect.DeepEqual(again["derived_from"], []any{after["jti"], before["jti"]}) || !reflect.DeepEqual(again["aud"], after["aud"]) || again["scope"] != after["scope"] {
			t.Errorf("%v", again)
		}
		verifier, err := jwt.New(t.Context(), jwt.Config{Issuer: s.url, Audiences: []string{"urn:realguardio:customer"}})
		if err != nil {
			t.Fatal(err)
		}
		id, err := verifier.Verify(t.Context(), second.str("access_token"))
		if err != nil || !reflect.DeepEqual(id.Actors, []string{"customer", "securitysystem"}) || id.Subject != before["sub"] || id.ClientID != "web" ||
			!reflect.DeepEqual(id.DerivedFrom, []string{after["jti"].(string), before["jti"].(string)}) {
			t.Errorf("%+v, %v", id, err)
		}
		own := s.exchange("web", subject, "resource", "urn:realguardio:token", "scope", "openid")
		if own.status != http.StatusOK || !s.accepted(own.str("access_token")) {
			t.Errorf("for the client that it was issued to: %d %s", own.status, own.body)
		}
		s.clock.Advance(200 * time.Second)
		late := s.exchange("securitysystem", subject)
		if exp := claims(t, late.str("access_token"))["exp"]; exp != before["exp"] || late.json["expires_in"].(float64) > 101 {
			t.Errorf("it outlives the subject_token: %v after %v, %s", exp, before["exp"], late.body)
		}
	})
}

func TestAnExchangeGivesNoMoreThanThereWas(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		tokens := s.tokens()
		subject := tokens.str("access_token")
		narrow := s.exchange("securitysystem", subject, "audience", "urn:realguardio:customer").str("access_token")
		expired := s.tokens().str("access_token")
		long := subject
		for range 4 {
			long = s.exchange("customer", long).str("access_token")
		}
		dead := s.tokens().str("access_token")
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {dead}})
		for _, tc := range []struct {
			name, part, subject string
			ask                 []string
			status              int
			want                string
		}{
			{"a scope that is not in it", "securitysystem", subject, []string{"scope", "securitysystem.read admin"}, 400, "invalid_scope"},
			{"one that is only its client's", "securitysystem", subject, []string{"scope", "securitysystem.arm"}, 400, "invalid_scope"},
			{"an audience that there is not", "securitysystem", subject, []string{"audience", "urn:evil"}, 400, "invalid_target"},
			{"a resource that there is not", "securitysystem", subject, []string{"resource", "https://evil.example"}, 400, "invalid_target"},
			{"an audience wider than its own", "customer", narrow, []string{"audience", "urn:realguardio:api"}, 400, "invalid_target"},
			{"an audience beside its own", "customer", narrow, []string{"audience", "urn:realguardio:notification"}, 400, "invalid_target"},
			{"a token for others", "securitysystem", s.exchange("customer", subject, "audience", "urn:realguardio:customer").str("access_token"), nil, 400, "invalid_request"},
			{"a client that it is not for", "stranger", subject, nil, 400, "invalid_request"},
			{"too long a chain", "customer", long, nil, 400, "invalid_request"},
			{"a token that was revoked", "customer", dead, nil, 400, "invalid_request"},
			{"a refresh token", "web", tokens.str("refresh_token"), nil, 400, "invalid_request"},
			{"an ID token", "customer", tokens.str("id_token"), nil, 400, "invalid_request"},
			{"no token", "customer", "", nil, 400, "invalid_request"},
			{"a token that is none", "customer", "rgo_AAAA", nil, 400, "invalid_request"},
			{"a forged one", "customer", subject[:len(subject)-4] + "AAAA", nil, 400, "invalid_request"},
			{"another part's own token", "customer", s.machine("securitysystem", serviceSecret).str("access_token"), nil, 400, "invalid_request"},
			{"no type of token", "customer", subject, []string{"subject_token_type", ""}, 400, "invalid_request"},
			{"another type of token", "customer", subject, []string{"subject_token_type", "urn:ietf:params:oauth:token-type:id_token"}, 400, "invalid_request"},
			{"for a refresh token", "customer", subject, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, 400, "invalid_request"},
			{"with an actor_token", "customer", subject, []string{"actor_token", subject, "actor_token_type", oauth.TokenTypeAccess}, 400, "invalid_request"},
			{"a client without the grant", "service", s.machine("service", serviceSecret).str("access_token"), nil, 400, "unauthorized_client"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				r := s.exchange(tc.part, tc.subject, tc.ask...)
				if refused(t, r, tc.status, tc.want); r.str("access_token") != "" {
					t.Error("a token was issued besides")
				}
			})
		}
		if r := s.exchange("stranger", s.machine("stranger", serviceSecret).str("access_token"), "scope", "customer.read"); r.status != http.StatusOK {
			t.Errorf("a client's own token: %d %s", r.status, r.body)
		}
		s.clock.Advance(6 * time.Minute)
		refused(t, s.exchange("customer", expired), 400, "invalid_request")
		public := token.ClientSpec{ID: "open", Name: "Open", Public: true, Grants: []string{oauth.GrantTokenExchange}}
		if _, err := s.EnsureClient(t.Context(), public); err == nil {
			t.Error("a public client may be registered to exchange")
		}
	})
}

// TestAThirdPartysTokenLosesWhatItsScopesNoLongerSay narrows personal data away.
func TestAThirdPartysTokenLosesWhatItsScopesNoLongerSay(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		b := s.browser()
		page := b.open(b.signIn(asks("partner", partnerURI), alice, alicePassword).location(t).RequestURI())
		form := page.form()
		form.Set("decision", "allow")
		to := b.submit("/consent", form).location(t)
		subject := s.post("/oauth2/token", "partner", partnerSecret, redeems(to.Query().Get("code"), partnerURI)).str("access_token")
		if before := claims(t, subject); before["name"] == nil || before["email"] == nil {
			t.Fatalf("%v", before)
		}
		after := claims(t, s.exchange("customer", subject, "scope", "email securitysystem.read").str("access_token"))
		if after["name"] != nil || after["email"] != alice {
			t.Errorf("%v", after)
		}
	})
}

// TestWhatEndsATokenEndsWhatWasGotForIt asks a verifier that only has the feed, and the issuer.
func TestWhatEndsATokenEndsWhatWasGotForIt(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		r := s.serveRPC()
		me := tokenv1.NewAccountServiceClient(r.dial("customer"))
		for name, end := range map[string]func(b *browser, tokens reply, middle string){
			"the first token": func(_ *browser, tokens reply, _ string) {
				s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {tokens.str("access_token")}})
			},
			"the one between, by who got it": func(_ *browser, _ reply, middle string) {
				s.post("/oauth2/revoke", "securitysystem", serviceSecret, url.Values{"token": {middle}})
			},
			"the grant": func(_ *browser, tokens reply, _ string) {
				s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {tokens.str("refresh_token")}})
			},
			"the session": func(b *browser, tokens reply, _ string) {
				b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
			},
		} {
			t.Run(name, func(t *testing.T) {
				b := s.browser()
				tokens := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
				middle := s.exchange("securitysystem", tokens.str("access_token")).str("access_token")
				last := s.exchange("customer", middle).str("access_token")
				if got, err := me.GetMe(meshtest.As(t.Context(), last), &tokenv1.GetMeRequest{}); err != nil || got.GetUser().GetEmail() != alice {
					t.Fatalf("not accepted to begin with: %v", err)
				}
				end(b, tokens, middle)
				r.ends(t, last)
				if s.accepted(last) {
					t.Error("the issuer accepts it")
				}
				refused(t, s.exchange("customer", middle), 400, "invalid_request")
			})
		}
		stolen := s.exchange("customer", s.tokens().str("access_token")).str("access_token")
		s.post("/oauth2/revoke", "stranger", serviceSecret, url.Values{"token": {stolen}})
		if _, err := me.GetMe(meshtest.As(t.Context(), stolen), &tokenv1.GetMeRequest{}); status.Code(err) != codes.OK {
			t.Errorf("another client has revoked it: %v", err)
		}
		middle := s.exchange("securitysystem", s.tokens().str("access_token")).str("access_token")
		last := s.exchange("customer", middle).str("access_token")
		a := r.administered()
		if _, err := a.admin.DisableWorkload(a.ctx, &tokenv1.DisableWorkloadRequest{Name: "securitysystem"}); err != nil {
			t.Fatal(err)
		}
		for name, token := range map[string]string{"who got it was disabled": middle, "who got the one before was disabled": last} {
			r.ends(t, token)
			if s.accepted(token) {
				t.Errorf("%s, and the issuer accepts it", name)
			}
		}
	})
}

func TestAnAudienceMayBeGivenMoreThanOnce(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		form := url.Values{"grant_type": {oauth.GrantTokenExchange}, "subject_token": {s.tokens().str("access_token")}, "subject_token_type": {oauth.TokenTypeAccess},
			"audience": {"urn:realguardio:customer", "urn:realguardio:notification"}, "resource": {"urn:realguardio:customer"}}
		r := s.post("/oauth2/token", "customer", serviceSecret, form)
		if aud := claims(t, r.str("access_token"))["aud"]; !reflect.DeepEqual(aud, []any{"urn:realguardio:customer", "urn:realguardio:notification"}) {
			t.Errorf("%v", aud)
		}
		twice := maps.Clone(form)
		twice["subject_token"] = append(twice["subject_token"], "another")
		refused(t, s.post("/oauth2/token", "customer", serviceSecret, twice), 400, "invalid_request")
	})
}
