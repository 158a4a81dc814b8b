package token_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/password"
)

// TestNobodySignsInAsWhatIsNoText: no database is asked for what it would refuse to be asked for.
func TestNobodySignsInAsWhatIsNoText(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for name, who := range map[string][2]string{
			"a NUL in the user name":          {"alice\x00@acme.example", alicePassword},
			"a NUL at its end":                {alice + "\x00", alicePassword},
			"a user name that is not UTF-8":   {"alice\xff@acme.example", alicePassword},
			"a lone surrogate":                {"\xed\xa0\x80", alicePassword},
			"a NUL in the password":           {alice, alicePassword + "\x00"},
			"a password that is not UTF-8":    {alice, "\xff\xfe\xfd"},
			"a user name of 50 KB":            {strings.Repeat("a", 50_000), alicePassword},
			"a password of 50 KB":             {alice, strings.Repeat("a", 50_000)},
			"neither":                         {"", ""},
			"SQL":                             {"' OR 1=1 --", alicePassword},
			"a line break in the user name":   {alice + "\r\nSet-Cookie: rgt_login=x", alicePassword},
			"a user name of other characters": {"аlice@acme.example", alicePassword},
		} {
			b := s.browser()
			r := b.signIn(asks("web", webCallback), who[0], who[1])
			if r.status != http.StatusForbidden || !strings.Contains(r.body, "Wrong e-mail or password.") || b.cookie("rgt_login") != "" {
				t.Errorf("%s: %d", name, r.status)
			}
			if strings.ContainsAny(r.body, "\x00\xff") {
				t.Errorf("%s: it is in the page", name)
			}
			if err := s.redis.Del(t.Context(), "rgt:{attempts}:address:127.0.0.1").Err(); err != nil {
				t.Fatal(err)
			}
		}
		grant := url.Values{"grant_type": {"password"}, "username": {"alice\x00@acme.example"}, "password": {alicePassword}}
		refused(t, s.post("/oauth2/token", "trusted", trustedSecret, grant), 400, "invalid_request")
		if s.logs.contains(`"level":"ERROR"`) {
			t.Error("something failed inside")
		}
	})
}

func TestTheTokenEndpointTakesOneFormOnly(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		const form = "grant_type=client_credentials"
		send := func(method, path, contentType, body string) reply {
			r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", contentType)
			r.SetBasicAuth("service", url.QueryEscape(serviceSecret))
			return s.do(plain, r)
		}
		for _, contentType := range []string{"application/x-www-form-urlencoded", "APPLICATION/X-WWW-Form-Urlencoded", "application/x-www-form-urlencoded; charset=UTF-8", "application/x-www-form-urlencoded;charset=utf-16"} {
			if r := send("POST", "/oauth2/token", contentType, form); r.status != http.StatusOK {
				t.Errorf("%s: %d %s", contentType, r.status, r.body)
			}
		}
		for _, contentType := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded, application/json", "application/x-www-form-urlencoded; charset", "application/x-www-form-urlencodedx"} {
			refused(t, send("POST", "/oauth2/token", contentType, form), 400, "invalid_request")
		}
		for name, body := range map[string]string{
			"a semicolon":               form + ";scope=customer.read",
			"broken escapes":            form + "&scope=%zz",
			"UTF-16":                    "g\x00r\x00a\x00n\x00t\x00_\x00t\x00y\x00p\x00e\x00=\x00",
			"a NUL":                     form + "&scope=%00",
			"what is not UTF-8":         form + "&x=%ff",
			"the grant twice":           form + "&" + form,
			"the same scope twice":      form + "&scope=customer.read&scope=customer.read",
			"a parameter of ours twice": form + "&x=1&x=2",
			"a body without an end":     form + "&x=" + strings.Repeat("x", 70_000),
			"nothing":                   "",
		} {
			if r := send("POST", "/oauth2/token", "application/x-www-form-urlencoded", body); r.status != 400 || r.str("error") != "invalid_request" {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		refused(t, send("POST", "/oauth2/token?"+form, "application/x-www-form-urlencoded", ""), 400, "invalid_request")
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			if r := send(method, "/oauth2/token", "application/x-www-form-urlencoded", form); r.status != http.StatusMethodNotAllowed || r.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %d", method, r.status)
			}
		}
		for _, path := range []string{"/login", "/consent", "/oauth2/authorize", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/logout", "/oauth2/logout/confirm"} {
			if r := s.browser().submit(path, url.Values{"x": {strings.Repeat("x", 70_000)}}); r.status != http.StatusBadRequest {
				t.Errorf("70 KB to %s: %d", path, r.status)
			}
		}
	})
}

// TestALongListIsReadInLinearTime: anybody may send one to the authorization endpoint.
func TestALongListIsReadInLinearTime(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		var scopes strings.Builder
		for i := range 15_000 {
			fmt.Fprintf(&scopes, "%x+", i)
		}
		begun := time.Now()
		for range 20 {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/authorize", strings.NewReader("client_id=web&response_type=code&scope="+scopes.String()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if got := s.do(plain, r); got.status >= 500 {
				t.Fatalf("%d %s", got.status, got.body)
			}
		}
		if took := time.Since(begun); took > 5*time.Second { // 0.2 s, alone on the machine
			t.Errorf("took %v", took)
		}
		many := s.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}, "resource": slices.Repeat([]string{"urn:realguardio:api"}, 1000)})
		if many.status != http.StatusOK || len(many.str("access_token")) > 1000 {
			t.Errorf("one resource a thousand times: %d, a token of %d bytes", many.status, len(many.str("access_token")))
		}
	})
}

func TestTheStateComesBackAsItWas(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		for _, state := range []string{"x\r\nSet-Cookie: a=b", "x&code=evil", "x#fragment", "https://evil.example/", `"><script>`, "%0d%0a", "ü 漢", " ", "a+b=c;d"} {
			r := b.open(asks("web", webCallback, "state", state))
			to := r.location(t)
			if got := to.Query()["state"]; len(got) != 1 || got[0] != state || len(to.Query()["code"]) != 1 || to.Fragment != "" || to.Host != "app.example.com" || len(r.header["Set-Cookie"]) > 0 {
				t.Errorf("%q came back as %s", state, to)
			}
			s.logs.secret(to.Query().Get("code"))
		}
		for name, request := range map[string]string{
			"two": asks("web", webCallback) + "&state=another", "one too long": asks("web", webCallback, "state", strings.Repeat("x", 3000)),
		} {
			if to := b.open(request).location(t); to.Query().Get("error") != "invalid_request" || to.Query().Has("state") {
				t.Errorf("%s: %s", name, to)
			}
		}
	})
}

// TestAnAuthorizationRequestPostedFromElsewhere is what another site can make a browser send: it says nothing that a link
// could not, and the browser leaves our cookies out.
func TestAnAuthorizationRequestPostedFromElsewhere(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		_, query, _ := strings.Cut(asks("web", webCallback), "?")
		form, _ := url.ParseQuery(query)
		foreign := []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}
		if to := s.browser().submit("/oauth2/authorize", form, foreign...).location(t); to.Path != "/login" {
			t.Errorf("sent to %s", to)
		}
		if to := b.submit("/oauth2/authorize", form, foreign...).location(t); !strings.HasPrefix(to.String(), webCallback+"?") {
			t.Errorf("with the cookies of an old browser: %s", to)
		}
		if r := b.submit("/oauth2/authorize?"+query, url.Values{}, foreign...); r.status != http.StatusBadRequest {
			t.Errorf("with parameters in the URL: %d", r.status)
		}
	})
}

// TestAGrantGivesNoMoreThanTheClientHas takes scopes from a client that has a code and a refresh token already.
func TestAGrantGivesNoMoreThanTheClientHas(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		registered := func(scopes string) {
			if _, err := s.db.Exec(t.Context(), `UPDATE clients SET scopes = $1 WHERE id = 'web'`, scopes); err != nil {
				t.Fatal(err)
			}
		}
		tokens := s.tokens()
		code := s.browser().code(asks("web", webCallback))
		registered("openid email")
		redeemed := s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback))
		if redeemed.str("scope") != "openid email" {
			t.Errorf("the code: %d %s", redeemed.status, redeemed.body)
		}
		renewed := s.refresh(tokens.str("refresh_token"))
		if renewed.str("scope") != "openid email" {
			t.Errorf("the refresh token: %d %s", renewed.status, renewed.body)
		}
		if profile := s.get("/oauth2/userinfo", "Authorization", "Bearer "+renewed.str("access_token")); profile.json["name"] != nil {
			t.Errorf("UserInfo: %s", profile.body)
		}
		registered("securitysystem.disarm")
		refused(t, s.refresh(renewed.str("refresh_token")), 400, "invalid_grant")
	})
}

func TestUserInfoTakesNoTokenForAnotherAudience(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for audience, want := range map[string]int{
			"urn:realguardio:api": 200, "urn:realguardio:token": 200, "urn:realguardio:customer": 401, "urn:realguardio:gateway": 401,
		} {
			form := redeems(s.browser().code(asks("web", webCallback)), webCallback)
			form.Set("resource", audience)
			access := s.post("/oauth2/token", "web", webSecret, form).str("access_token")
			if r := s.get("/oauth2/userinfo", "Authorization", "Bearer "+access); r.status != want {
				t.Errorf("%s: %d, want %d", audience, r.status, want)
			}
		}
	})
}

func TestADisabledClientIsOver(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		tokens := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		code := s.browser().code(asks("web", webCallback))
		waiting := s.browser()
		form := waiting.open(waiting.open(asks("web", webCallback)).location(t).RequestURI()).form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		if _, err := s.db.Exec(t.Context(), `UPDATE clients SET disabled_at = 1 WHERE id = 'web'`); err != nil {
			t.Fatal(err)
		}
		refused(t, s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)), 401, "invalid_client")
		refused(t, s.refresh(tokens.str("refresh_token")), 401, "invalid_client")
		refused(t, s.post("/oauth2/introspect", "web", webSecret, url.Values{"token": {tokens.str("access_token")}}), 401, "invalid_client")
		if r := b.open(asks("web", webCallback, "prompt", "none")); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("authorize: %d to %q", r.status, r.header.Get("Location"))
		}
		if r := waiting.submit("/login", form); r.status != http.StatusForbidden || waiting.cookie("rgt_login") != "" {
			t.Errorf("the login page that was open: %d", r.status)
		}
		after := url.Values{"client_id": {"web"}, "post_logout_redirect_uri": {"https://app.example.com/bye"}}
		if r := s.browser().open("/oauth2/logout?" + after.Encode()); r.status != http.StatusBadRequest {
			t.Errorf("logout: %d to %q", r.status, r.header.Get("Location"))
		}
		// Another client of the same person goes on.
		if to := b.open(asks("native", nativeURI)).location(t); !to.Query().Has("code") {
			t.Errorf("another client: %s", to)
		}
	})
}

// TestARevocationOutlivesEveryToken shortens a client's tokens between issuing and revoking one.
func TestARevocationOutlivesEveryToken(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if _, err := s.db.Exec(t.Context(), `UPDATE clients SET access_token_lifetime = $1 WHERE id = 'web'`, (12 * time.Hour).Microseconds()); err != nil {
			t.Fatal(err)
		}
		tokens := s.tokens()
		if _, err := s.db.Exec(t.Context(), `UPDATE clients SET access_token_lifetime = 0 WHERE id = 'web'`); err != nil {
			t.Fatal(err)
		}
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {tokens.str("refresh_token")}})
		s.clock.Advance(6 * time.Hour)
		// What housekeeping forgets, and at once.
		if _, err := s.db.Exec(t.Context(), `DELETE FROM revocations WHERE expires_at < $1`, s.clock.Now().UnixMicro()); err != nil {
			t.Fatal(err)
		}
		if s.accepted(tokens.str("access_token")) {
			t.Error("it came back to life when its revocation was forgotten")
		}
	})
}

// TestAFloodLocksNobodyOut: tries that were turned away unseen do not count as wrong guesses.
func TestAFloodLocksNobodyOut(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		cfg := s.config()
		cfg.Passwords.Concurrent, cfg.Passwords.Params = 1, password.Params{MemoryKiB: 4 * 1024, Iterations: 2, Parallelism: 1}
		slow, err := token.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		endpoint := httptest.NewServer(slow.Handler())
		defer endpoint.Close()
		flooded := *s
		flooded.url = endpoint.URL
		var number atomic.Int64
		looked := 0
		for _, r := range parallel(80, func() reply {
			return flooded.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"},
				"username": {fmt.Sprintf("nobody%d@acme.example", number.Add(1))}, "password": {"a wrong guess"}})
		}) {
			if r.status == http.StatusBadRequest {
				looked++
			} else {
				refused(t, r, 429, "slow_down")
			}
		}
		counted, err := s.redis.Get(t.Context(), "rgt:{attempts}:address:127.0.0.1").Int()
		if err != nil || counted != looked || looked == 80 {
			t.Errorf("%d guesses were looked at, %d are counted, %v", looked, counted, err)
		}
	})
}

func TestConsentingAgainAddsNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		for range 3 {
			for _, scope := range []string{"openid email", "openid profile"} {
				form := b.open(b.open(asks("partner", partnerURI, "prompt", "consent", "scope", scope)).location(t).RequestURI()).form()
				form.Set("decision", "allow")
				b.submit("/consent", form)
			}
		}
		var scopes string
		if err := s.db.QueryRow(t.Context(), `SELECT scopes FROM consents`).Scan(&scopes); err != nil || scopes != "openid email openid profile" {
			t.Errorf("%q, %v", scopes, err)
		}
	})
}
