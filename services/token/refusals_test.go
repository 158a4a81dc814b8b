package token_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/password"
)

// TestWhatIsNotBuiltIsRefused asks for what other providers have: each is refused by its name, and nothing is fetched from
// an address that a stranger gave.
func TestWhatIsNotBuiltIsRefused(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		var fetched atomic.Int64
		inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
		defer inside.Close()
		for name, grant := range map[string]url.Values{
			"an assertion as a grant":       {"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"x.y.z"}},
			"a SAML assertion":              {"grant_type": {"urn:ietf:params:oauth:grant-type:saml2-bearer"}, "assertion": {"x"}},
			"authentication by backchannel": {"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {"x"}},
		} {
			t.Run(name, func(t *testing.T) {
				refused(t, s.post("/oauth2/token", "service", serviceSecret, grant), 400, "unsupported_grant_type")
			})
		}
		for name, ask := range map[string]struct {
			change []string
			want   string
		}{
			"an unsigned request object":      {[]string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
			"one that says otherwise":         {[]string{"request", "eyJhbGciOiJub25lIn0.eyJzdGF0ZSI6IngifQ.", "state", "outside"}, "request_not_supported"},
			"a request to be fetched":         {[]string{"request_uri", inside.URL + "/request"}, "request_uri_not_supported"},
			"a request in a file":             {[]string{"request_uri", "file:///etc/passwd"}, "request_uri_not_supported"},
			"a request on a metadata service": {[]string{"request_uri", "http://169.254.169.254/latest"}, "request_uri_not_supported"},
			"a registration in the request":   {[]string{"registration", `{"jwks_uri":"` + inside.URL + `"}`}, "registration_not_supported"},
		} {
			t.Run(name, func(t *testing.T) {
				to := s.get(asks("web", webCallback, ask.change...)).location(t)
				if answerIn(to).Get("error") != ask.want || !strings.HasPrefix(to.String(), webCallback) {
					t.Errorf("sent to %s", to)
				}
			})
		}
		for _, path := range []string{"/oauth2/register", "/oauth2/register/web", "/totp", "/webauthn", "/oauth2/bc-authorize"} {
			r := s.post(path, "", "", url.Values{"jwks_uri": {inside.URL}, "logo_uri": {inside.URL}})
			if r.status != http.StatusNotFound {
				t.Errorf("%s: %d", path, r.status)
			}
			if r := s.get(path, "Authorization", "Bearer guess"); r.status != http.StatusNotFound {
				t.Errorf("GET %s: %d", path, r.status)
			}
		}
		metadata := s.get("/.well-known/openid-configuration")
		for _, member := range []string{"registration_endpoint", "backchannel_authentication_endpoint", "request_object_signing_alg_values_supported"} {
			if metadata.json[member] != nil {
				t.Errorf("discovery offers %s", member)
			}
		}
		if n := fetched.Load(); n != 0 {
			t.Errorf("%d requests were sent to an address from outside", n)
		}
	})
}

// TestNobodyLearnsWhoHasAnAccountFromTheTime compares the quickest of several wrong passwords for an account with the
// quickest for none. What takes the time is one hash, which is made for nobody's sake too; without it the answer would
// come in a tenth of the time. The quickest is what other work on the machine disturbs least.
func TestNobodyLearnsWhoHasAnAccountFromTheTime(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		costly := password.Params{MemoryKiB: 32 << 10, Iterations: 1, Parallelism: 1}
		hash, err := password.New(costly, 1).Hash(t.Context(), alicePassword)
		if err != nil {
			t.Fatal(err)
		}
		s.exec(`UPDATE users SET password_hash = '` + hash + `'`)
		s = begin(t, st, "127.0.0.1:0", s.clock, s.logs, func(cfg *token.Config) { cfg.Passwords.Params = costly })
		took := func(who string) time.Duration {
			begun := time.Now()
			refused(t, s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {who}, "password": {"a wrong guess"}}), 400, "invalid_grant")
			return time.Since(begun)
		}
		// The quickest of each, taken in turn: what else the machine does only makes them slower, and a hash that is left
		// out shows in every one. Nine tries are as many as an account has from one network.
		known, unknown := took(alice), took("nobody@acme.example")
		alike := func() bool { return unknown >= known/3 && known >= unknown/3 }
		for tries := 1; tries < 3 || tries < 9 && !alike(); tries++ {
			known, unknown = min(known, took(alice)), min(unknown, took("nobody@acme.example"))
		}
		if !alike() {
			t.Errorf("%v for an account, %v for none", known, unknown)
		}
	})
}

// TestNoParameterLeadsElsewhere tries to have a browser sent to where no client registered.
func TestNoParameterLeadsElsewhere(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for _, name := range []string{"rd", "next", "return_to", "redirect", "url", "post_logout_redirect_uri", "redirect_uri"} {
			for _, evil := range []string{"//evil.example", `/\evil.example`, "/\t/evil.example", "https:evil.example", "///evil.example", "https://evil.example/"} {
				param := url.Values{name: {evil}}.Encode()
				for _, path := range []string{"/login?", "/consent?", "/oauth2/logout?", "/?", "/oauth2/logout?client_id=web&", "/oauth2/authorize?client_id=web&response_type=code&"} {
					to := s.get(path + param).header.Get("Location")
					if to != "" && !strings.HasPrefix(to, webCallback+"?") {
						t.Errorf("%s%s leads to %s", path, param, to)
					}
				}
			}
		}
		b := s.browser()
		form := b.open(b.open(asks("web", webCallback)).location(t).RequestURI()).form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		form.Set("rd", "//evil.example")
		form.Set("redirect_uri", "https://evil.example/")
		to := b.submit("/login", form).location(t)
		if to = b.open(to.RequestURI()).location(t); !strings.HasPrefix(to.String(), webCallback+"?") {
			t.Errorf("signed in, and sent to %s", to)
		}
	})
}

// TestAFreshSignInThatIsGivenUpGivesNothing asks for a password anew and goes back instead of giving it.
func TestAFreshSignInThatIsGivenUpGivesNothing(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		first := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		s.clock.Advance(time.Minute)
		for _, fresh := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
			page := b.open(asks("web", webCallback, fresh...)).location(t)
			if page.Path != "/login" {
				t.Fatalf("%v: sent to %s", fresh, page)
			}
			if again := b.open(asks("web", webCallback, fresh...)).location(t); again.Path != "/login" {
				t.Errorf("%v, asked again: %s", fresh, again)
			}
			if r := b.open("/oauth2/authorize?tx=" + page.Query().Get("tx")); r.status != http.StatusForbidden || r.header.Get("Location") != "" {
				t.Errorf("%v, going on without: %d %s", fresh, r.status, r.header.Get("Location"))
			}
			wrong := b.open(page.RequestURI()).form()
			wrong.Set("username", alice)
			wrong.Set("password", "a wrong guess")
			if r := b.submit("/login", wrong); r.status != http.StatusForbidden {
				t.Errorf("%v, a wrong password: %d", fresh, r.status)
			}
		}
		second := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback, "prompt", "login")), webCallback))
		before, after := claimsOf(t, first.str("id_token"))["auth_time"], claimsOf(t, second.str("id_token"))["auth_time"]
		if before.(float64)+60 > after.(float64) {
			t.Errorf("auth_time was %v and is %v", before, after)
		}
	})
}

// TestAnExpiredIDTokenIsStillAHint: it says who is meant, and proves nothing.
func TestAnExpiredIDTokenIsStillAHint(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		hint := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback)).str("id_token")
		s.clock.Advance(2 * time.Hour)
		hinted := asks("web", webCallback, "prompt", "none", "id_token_hint", hint)
		if to := b.open(hinted).location(t); !to.Query().Has("code") {
			t.Errorf("its own person: %s", to)
		}
		if to := s.browser().open(hinted).location(t); to.Query().Get("error") != "login_required" {
			t.Errorf("a browser in which nobody is signed in: %s", to)
		}
	})
}

// TestACodeOfSomebodyElseIsNoUse is code injection: an attacker's own code, brought to where another verifier is known.
func TestACodeOfSomebodyElseIsNoUse(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("mallory@evil.example", "mallory's password")
		own := strings.Repeat("m", 43)
		to := s.browser().signIn(asks("web", webCallback, "code_challenge", challenge(own)), "mallory@evil.example", "mallory's password").location(t)
		code := s.logs.secret(to.Query().Get("code"))
		refused(t, s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)), 400, "invalid_grant")
		form := redeems(code, webCallback)
		form.Set("code_verifier", own)
		if r := s.post("/oauth2/token", "web", webSecret, form); r.status != http.StatusOK {
			t.Errorf("its own verifier: %d %s", r.status, r.body)
		}
	})
}

// TestNoScopeAboutAPersonWithoutOne is what client credentials cannot ask for.
func TestNoScopeAboutAPersonWithoutOne(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.exec(`UPDATE clients SET scopes = scopes || ' offline_access profile email' WHERE id = 'service'`)
		for _, scope := range []string{"openid", "offline_access", "profile", "email", "customer.read openid"} {
			refused(t, s.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}), 400, "invalid_scope")
		}
		r := s.machine("service", serviceSecret)
		if r.status != http.StatusOK || r.json["id_token"] != nil || r.json["refresh_token"] != nil || r.str("scope") != "securitysystem.read customer.read" {
			t.Errorf("without a scope: %d %s", r.status, fmt.Sprint(r.json["scope"]))
		}
	})
}

// TestAnAccessTokenTravelsInOnePlace is RFC 6750, section 2: the header, or the form of a POST, and never the URL.
func TestAnAccessTokenTravelsInOnePlace(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		access := s.tokens().str("access_token")
		inURL := "/oauth2/userinfo?" + url.Values{"access_token": {access}}.Encode()
		if r := s.get(inURL); r.status != http.StatusUnauthorized || strings.Contains(r.body, "sub") {
			t.Errorf("in the URL: %d %s", r.status, r.body)
		}
		if r := s.post(inURL, "", "", url.Values{"unrelated": {"x"}}); r.status != http.StatusUnauthorized {
			t.Errorf("in the URL of a POST: %d %s", r.status, r.body)
		}
		both, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/userinfo", strings.NewReader(url.Values{"access_token": {access}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		both.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		both.Header.Set("Authorization", "Bearer "+access)
		if r := s.do(plain, both); r.status != http.StatusBadRequest {
			t.Errorf("in two places: %d %s", r.status, r.body)
		}
		for name, header := range map[string]string{"lower case": "bearer " + access, "upper case": "BEARER " + access} {
			if r := s.get("/oauth2/userinfo", "Authorization", header); r.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
	})
}
