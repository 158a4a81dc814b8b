package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

func https(c *gateway.Config) { c.PublicURL = strings.Replace(c.PublicURL, "http:", "https:", 1) }

func TestSignInAsNextAuthDoesIt(t *testing.T) {
	g := newWorld(t).gateway(t)
	b := g.browser(t)

	if r := b.get(t, "/api/auth/session"); r.StatusCode != http.StatusOK || strings.TrimSpace(r.body) != "{}" {
		t.Errorf("an anonymous session is %d %s", r.StatusCode, r.body)
	}
	provider, _ := b.get(t, "/api/auth/providers").json(t)["realguardio"].(map[string]any)
	if provider["id"] != "realguardio" || provider["type"] != "oauth" || provider["signinUrl"] != g.url+"/api/auth/signin/realguardio" ||
		provider["callbackUrl"] != g.url+"/api/auth/callback/realguardio" || provider["name"] == "" {
		t.Errorf("the provider is %v", provider)
	}

	b.token(t)
	r := b.form(t, "/api/auth/signin/realguardio?prompt=login&max_age=900&acr_values=1&redirect_uri=https://evil.example&scope=admin", url.Values{
		"csrfToken": {b.csrf}, "json": {"true"}, "callbackUrl": {g.url + "/systems?x=1#top"},
	})
	to, err := url.Parse(r.want(t, http.StatusOK, "").json(t)["url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 ||
		q.Get("prompt") != "login" || q.Get("max_age") != "900" || q.Get("acr_values") != "1" || q.Get("redirect_uri") != g.url+"/api/auth/callback/realguardio" || q.Get("response_type") != "code" ||
		!strings.HasPrefix(q.Get("scope"), "openid ") || len(q["scope"]) != 1 || strings.Contains(r.body, clientSecret) {
		t.Errorf("the authorization URL is %s", to)
	}
	callback := send(t, b.http, http.MethodGet, to.String(), "").Header.Get("Location")
	r = b.get(t, callback).want(t, http.StatusFound, "")
	if r.Header.Get("Location") != g.url+"/systems?x=1#top" || strings.Contains(r.body, "eyJ") {
		t.Errorf("the callback leads to %s with %q", r.Header.Get("Location"), r.body)
	}

	r = b.get(t, "/api/auth/session").want(t, http.StatusOK, "")
	s := r.json(t)
	user, _ := s["user"].(map[string]any)
	expires, err := time.Parse(time.RFC3339, s["expires"].(string))
	if user["name"] != "Alice Acme" || user["email"] != "alice@acme.example" || user["sub"] != "u-alice" ||
		s["roles"].([]any)[0] != "REALGUARDIO_CUSTOMER_EMPLOYEE" || err != nil || time.Until(expires) < time.Hour || len(s) != 3 {
		t.Errorf("the session is %s", r.body)
	}
	if strings.Contains(r.body, "eyJ") || r.Header.Get("Cache-Control") != "no-store" || !strings.Contains(r.Header.Get("Vary"), "Cookie") {
		t.Errorf("the session is answered with %v %s", r.Header, r.body)
	}
	b.token(t)
	if r := b.post(t, "/api/auth/session", `{"csrfToken":"`+b.csrf+`","data":{"roles":["REALGUARDIO_ADMIN"]}}`); r.json(t)["roles"].([]any)[0] != "REALGUARDIO_CUSTOMER_EMPLOYEE" {
		t.Errorf("update() changed the session to %s", r.body)
	}
	if r := b.form(t, "/api/auth/_log", url.Values{"code": {"CLIENT_FETCH_ERROR"}, "level": {"error"}}); r.StatusCode != http.StatusOK {
		t.Errorf("_log answers %d", r.StatusCode)
	}
}

func TestSignOutEndsTheSessionHereAndAtTheProvider(t *testing.T) {
	w := newWorld(t)
	g, other := w.gateway(t), w.gateway(t)
	b := g.signedIn(t)
	stolen := header{"Cookie": "realguardio-session=" + b.cookie(t, "realguardio-session")}
	g.do(t, http.MethodGet, "/api/v1/securitysystems", "", stolen).want(t, http.StatusOK, "")

	r := b.form(t, "/api/auth/signout", url.Values{"csrfToken": {b.csrf}, "json": {"true"}, "callbackUrl": {"/bye"}})
	if to := r.want(t, http.StatusOK, "").json(t)["url"]; to != g.url+"/bye" {
		t.Errorf("signing out leads to %v", to)
	}
	if b.cookie(t, "realguardio-session") != "" {
		t.Error("the cookie is still there")
	}
	g.do(t, http.MethodGet, "/api/v1/securitysystems", "", stolen).want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	other.do(t, http.MethodGet, "/api/v1/securitysystems", "", stolen).want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	if len(w.idp.revoked) != 1 || len(w.idp.ended) != 1 || !strings.HasPrefix(w.idp.ended[0], "sid-") {
		t.Errorf("the provider has revoked %d refresh tokens and ended %v", len(w.idp.revoked), w.idp.ended)
	}
}

func TestTheAccountIsAtTheProvider(t *testing.T) {
	w := newWorld(t)
	if r := w.gateway(t).do(t, http.MethodGet, "/api/auth/account", ""); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != w.idp.URL {
		t.Errorf("a provider that names no such page: %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	w.idp.set(func(p *idp) { p.account = "https://id.example/me" })
	r := w.gateway(t).do(t, http.MethodGet, "/api/auth/account?to=https://evil.example", "")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "https://id.example/me" {
		t.Errorf("%d to %q", r.StatusCode, r.Header.Get("Location"))
	}
}

func TestAProviderThatAsksBeforeItSignsOutIsVisited(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t)
	b := g.signedIn(t)
	w.idp.set(func(p *idp) { p.asks = true })
	to, _ := b.form(t, "/api/auth/signout", url.Values{"csrfToken": {b.csrf}, "json": {"true"}}).want(t, http.StatusOK, "").json(t)["url"].(string)
	if !strings.HasPrefix(to, w.idp.URL+"/oauth2/logout?") || strings.Contains(to, "eyJ") || !strings.Contains(to, url.QueryEscape(g.url+"/")) {
		t.Errorf("signing out leads to %s", to)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
}

func TestSigningInAgainGivesANewIDAndEndsTheOldSession(t *testing.T) {
	g := newWorld(t).gateway(t)
	b := g.signedIn(t)
	old := b.cookie(t, "realguardio-session")
	csrf := b.csrf
	b.signIn(t).want(t, http.StatusFound, "")
	if b.cookie(t, "realguardio-session") == old {
		t.Error("the id is the same")
	}
	g.do(t, http.MethodGet, "/api/v1/securitysystems", "", header{"Cookie": "realguardio-session=" + old}).want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	b.csrf = csrf
	b.post(t, "/api/v1/securitysystems/sys_1:arm", "{}").want(t, http.StatusForbidden, "CSRF")
}

func TestCookies(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name   string
		change func(*gateway.Config)
		prefix string
	}{
		{"over https cookies are __Host- and Secure", https, "__Host-"},
		{"over http on loopback they are neither", func(*gateway.Config) {}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := w.gateway(t, tt.change).browser(t)
			csrf := b.get(t, "/api/auth/csrf").Cookies()
			login := func() []*http.Cookie {
				b.token(t)
				return b.form(t, "/api/auth/signin/realguardio", url.Values{"csrfToken": {b.csrf}, "json": {"true"}}).Cookies()
			}()
			session := b.signIn(t).Cookies()
			seen := map[string]bool{}
			for _, c := range append(append(csrf, login...), session...) {
				seen[c.Name] = true
				if !strings.HasPrefix(c.Name, tt.prefix+"realguardio-") || c.Secure != (tt.prefix != "") || !c.HttpOnly ||
					c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
					t.Errorf("cookie %+v", c)
				}
			}
			if !seen[tt.prefix+"realguardio-session"] || !seen[tt.prefix+"realguardio-csrf"] || len(seen) < 3 {
				t.Errorf("saw %v", seen)
			}
			b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
		})
	}
}

func TestAForgedAnswerSignsNobodyIn(t *testing.T) {
	evil := func(name, value string) func(*testing.T, *browser, string) string {
		return func(t *testing.T, _ *browser, callback string) string {
			u, err := url.Parse(callback)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Del(name)
			if value != "" {
				q.Set(name, value)
			}
			u.RawQuery = q.Encode()
			return u.String()
		}
	}
	unchanged := func(_ *testing.T, _ *browser, callback string) string { return callback }
	idToken := func(change func(*meshtest.Claims)) func(*idp) { return func(p *idp) { p.tamper = change } }
	tests := []struct {
		name   string
		idp    func(*idp)
		change func(*testing.T, *browser, string) string
		status int
		// redeemed is true where the code was good and only its tokens are not.
		redeemed bool
	}{
		{name: "the answer to another browser's login", status: 403, change: func(t *testing.T, b *browser, _ string) string {
			return b.gate.browser(t).provider(t)
		}},
		{name: "an answer given twice", status: 403, redeemed: true, change: func(t *testing.T, b *browser, callback string) string {
			b.get(t, callback).want(t, http.StatusFound, "")
			send(t, b.http, http.MethodGet, b.url+"/api/auth/csrf", "")
			return callback
		}},
		{name: "no state", status: 403, change: evil("state", "")},
		{name: "an unknown state", status: 403, change: evil("state", "AAAAAAAAAAAAAAAAAAAAAAAAAA")},
		{name: "two states", status: 403, change: func(_ *testing.T, _ *browser, c string) string { return c + "&state=x" }},
		{name: "another provider's id in the path", status: 403, change: func(_ *testing.T, _ *browser, c string) string {
			return strings.Replace(c, "/callback/realguardio", "/callback/other", 1)
		}},
		{name: "another issuer's answer (mix-up)", status: 400, change: evil("iss", "https://evil.example")},
		{name: "no issuer, from a provider that names itself", status: 400, change: evil("iss", "")},
		{name: "two issuers", status: 400, change: func(_ *testing.T, _ *browser, c string) string { return c + "&iss=https://evil.example" }},
		{name: "no code", status: 400, change: evil("code", "")},
		{name: "a foreign code", status: 400, change: evil("code", "stolen")},
		{name: "an error of the provider", status: 401, change: evil("error", "access_denied")},
		{name: "an ID token for another client", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Audience = []string{"other"} })},
		{name: "an ID token for several clients without azp", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Audience = []string{clientID, "other"} })},
		{name: "an ID token that another client asked for", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Extra["azp"] = "other" })},
		{name: "an ID token of another issuer", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Extra["iss"] = "https://evil.example" })},
		{name: "an ID token with another nonce", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Extra["nonce"] = "other" })},
		{name: "an ID token without nonce", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Extra["nonce"] = nil })},
		{name: "an ID token of another access token", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Extra["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" })},
		{name: "an ID token that has expired", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Expiry = time.Now().Add(-time.Minute) })},
		{name: "an ID token of somebody else", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Subject = "u-eve" })},
		{name: "an unsigned ID token", status: 400, redeemed: true, change: unchanged, idp: idToken(func(c *meshtest.Claims) { c.Header["alg"] = "none" })},
	}
	w := newWorld(t)
	g := w.gateway(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.idp.set(func(p *idp) { p.tamper = nil })
			if tt.idp != nil {
				w.idp.set(tt.idp)
			}
			b := g.browser(t)
			callback := tt.change(t, b, b.provider(t))
			had, calls := b.cookie(t, "realguardio-session"), w.idp.count("authorization_code")
			r := b.get(t, callback)
			if r.StatusCode != tt.status || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
				t.Errorf("answer is %d %s; want %d", r.StatusCode, r.body, tt.status)
			}
			if b.cookie(t, "realguardio-session") != had {
				t.Error("somebody is signed in")
			}
			if n := w.idp.count("authorization_code") - calls; n > 0 && !tt.redeemed && tt.name != "a foreign code" {
				t.Error("the code was redeemed")
			}
		})
	}
}

func TestHEADSignsNobodyIn(t *testing.T) {
	w := newWorld(t)
	b := w.gateway(t).browser(t)
	callback := b.provider(t)
	r := b.do(t, http.MethodHead, callback, "").want(t, http.StatusMethodNotAllowed, "")
	if r.Header.Get("Allow") != "GET" || r.Header.Get("Set-Cookie") != "" || w.idp.count("authorization_code") != 0 {
		t.Errorf("HEAD answers %v after %d codes", r.Header, w.idp.count("authorization_code"))
	}
	b.get(t, callback).want(t, http.StatusFound, "")
	if b.cookie(t, "realguardio-session") == "" {
		t.Error("the log-in is used up")
	}
	for _, path := range []string{"/api/auth/session", "/api/auth/providers", "/api/auth/signin", "/api/auth/signout", "/api/auth/error", "/oauth2/auth"} {
		if head, get := b.do(t, http.MethodHead, path, ""), b.get(t, path); head.StatusCode != get.StatusCode {
			t.Errorf("%s: HEAD answers %d, GET %d", path, head.StatusCode, get.StatusCode)
		}
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
}

func TestABodyTooLargeIsToldTheLimit(t *testing.T) {
	b := newWorld(t).gateway(t).browser(t)
	form := header{"Content-Type": "application/x-www-form-urlencoded"}
	for path, h := range map[string]header{"/api/auth/signin/realguardio": form, "/api/auth/signout": form, "/api/auth/backchannel-logout": form, "/api/auth/session": {}} {
		r := b.do(t, http.MethodPost, path, `{"csrfToken":"`+strings.Repeat("x", 64<<10)+`"}`, h).want(t, http.StatusRequestEntityTooLarge, "TOO_LARGE")
		if r.json(t)["detail"] != "the request body is larger than 64 KB" {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

func TestWhereASignInMayLead(t *testing.T) {
	g := newWorld(t).gateway(t)
	home := g.url + "/"
	for asked, want := range map[string]string{
		"": home, "/systems": g.url + "/systems", g.url: home, g.url + "/a?b=c#d": g.url + "/a?b=c#d",
		"//evil.example": home, `/\evil.example`: home, "/\tevil": home, "https:evil.example": home, "///evil.example": home, "https://evil.example/": home,
		"javascript:alert(1)": home, "data:text/html,x": home, g.url + "@evil.example": home, g.url + ".evil.example": home, "/%0d%0aSet-Cookie:x=y": g.url + "/%0d%0aSet-Cookie:x=y",
		"/\r\nSet-Cookie: x=y": home, "\\\\evil.example": home, "evil": home, strings.Replace(g.url, "http", "https", 1) + "/": home,
		g.url + "//evil.example": home,
	} {
		b := g.signedIn(t)
		r := b.form(t, "/api/auth/signout", url.Values{"csrfToken": {b.csrf}, "json": {"true"}, "callbackUrl": {asked}})
		if got := r.json(t)["url"]; got != want {
			t.Errorf("%q leads to %v; want %s", asked, got, want)
		}
	}
}

func TestCSRF(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t)
	b, other := g.signedIn(t), g.signedIn(t)
	tests := []struct {
		name    string
		headers header
		status  int
	}{
		{"with the token, from this site", header{}, 200},
		{"with the token, from a client that sends no origin", header{"Origin": "", "Sec-Fetch-Site": ""}, 200},
		{"without the token", header{"X-CSRF-Token": ""}, 403},
		{"with a guessed token", header{"X-CSRF-Token": strings.Repeat("0", 64)}, 403},
		{"with two tokens", header{"X-CSRF-Token": b.csrf + "\n" + b.csrf}, 403},
		{"with another session's token", header{"X-CSRF-Token": other.csrf}, 403},
		{"from another site", header{"Sec-Fetch-Site": "cross-site"}, 403},
		{"from a neighbouring site", header{"Sec-Fetch-Site": "same-site"}, 403},
		{"from another origin, by an old browser", header{"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, 403},
		{"from no origin, as in a sandboxed frame", header{"Sec-Fetch-Site": "", "Origin": "null"}, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			r := b.post(t, "/api/v1/securitysystems/sys_1:arm", "{}", tt.headers)
			if r.StatusCode != tt.status {
				t.Errorf("arming answers %d %s; want %d", r.StatusCode, r.body, tt.status)
			}
			if got := len(w.backend.take()); (got == 1) != (tt.status == 200) {
				t.Errorf("the service was called %d times", got)
			}
		})
	}
	t.Run("on the routes of sign-in and sign-out", func(t *testing.T) {
		for _, path := range []string{"/api/auth/signin/realguardio", "/api/auth/signout"} {
			b.form(t, path, url.Values{"json": {"true"}}).want(t, http.StatusForbidden, "CSRF")
			b.form(t, path, url.Values{"json": {"true"}, "csrfToken": {other.csrf}}).want(t, http.StatusForbidden, "CSRF")
			b.form(t, path, url.Values{"csrfToken": {b.csrf}}, header{"Origin": "https://evil.example"}).want(t, http.StatusForbidden, "CSRF")
		}
		b.post(t, "/api/auth/session", `{"csrfToken":"x"}`, header{"X-CSRF-Token": ""}).want(t, http.StatusForbidden, "CSRF")
		b.get(t, "/api/auth/session").want(t, http.StatusOK, "")
		if b.get(t, "/api/auth/session").json(t)["user"] == nil {
			t.Error("a forged sign-out signed out")
		}
	})
	t.Run("a token planted with its cookie is worthless in another's session", func(t *testing.T) {
		planted := g.browser(t)
		planted.token(t)
		cookies := "realguardio-session=" + b.cookie(t, "realguardio-session") + "; realguardio-csrf=" + planted.cookie(t, "realguardio-csrf")
		g.do(t, http.MethodPost, "/api/v1/securitysystems/sys_1:arm", "{}", header{"Cookie": cookies, "X-CSRF-Token": planted.csrf}).want(t, http.StatusForbidden, "CSRF")
	})
}

func TestASessionEndedElsewhereIsOver(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t)
	b := g.signedIn(t)
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	sid := w.backend.take()[0].caller.SessionID
	if err := w.revoked.Add(revocation.Entry{Kind: revocation.Session, Value: sid}); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	if r := b.get(t, "/api/auth/session"); strings.TrimSpace(r.body) != "{}" {
		t.Errorf("the session is %s", r.body)
	}
}

func TestBackchannelLogout(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t)
	claims := func(sid string) meshtest.Claims {
		return meshtest.Claims{
			Subject: "u-alice", SessionID: sid, Audience: []string{clientID}, Header: map[string]any{"typ": "logout+jwt"},
			Extra: map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
		}
	}
	b := g.signedIn(t)
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	sid := w.backend.take()[0].caller.SessionID
	for name, change := range map[string]func(*meshtest.Claims){
		"for another client": func(c *meshtest.Claims) { c.Audience = []string{"other"} },
		"without the event":  func(c *meshtest.Claims) { c.Extra["events"] = nil },
		"with a nonce":       func(c *meshtest.Claims) { c.Extra["nonce"] = "x" },
		"expired":            func(c *meshtest.Claims) { c.Expiry = time.Now().Add(-time.Hour) },
		"of another issuer":  func(c *meshtest.Claims) { c.Extra["iss"] = "https://evil.example" },
		"of another type":    func(c *meshtest.Claims) { c.Header["typ"] = "at+jwt" },
		"unsigned":           func(c *meshtest.Claims) { c.Header["alg"] = "none" },
		"without an id":      func(c *meshtest.Claims) { c.Extra["jti"] = nil },
		"without iat":        func(c *meshtest.Claims) { c.Extra["iat"] = nil },
		"from the future":    func(c *meshtest.Claims) { c.Extra["iat"] = time.Now().Add(time.Hour).Unix() },
		"for ever":           func(c *meshtest.Claims) { c.Expiry = time.Now().Add(999 * time.Hour) },
		"about nobody":       func(c *meshtest.Claims) { c.Extra["sub"], c.Extra["sid"] = nil, nil },
	} {
		c := claims(sid)
		change(&c)
		r := b.form(t, "/api/auth/backchannel-logout", url.Values{"logout_token": {w.idp.Token(t, c)}})
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("a logout token %s is answered %d", name, r.StatusCode)
		}
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	// Another replica, and neither cookies nor a proof against CSRF: the provider has none.
	other := w.gateway(t).browser(t)
	told := url.Values{"logout_token": {w.idp.Token(t, claims(sid))}}
	r := other.form(t, "/api/auth/backchannel-logout", told).want(t, http.StatusOK, "")
	if r.Header.Get("Cache-Control") != "no-store" || len(r.Header["Set-Cookie"]) != 0 {
		t.Errorf("answered with %v", r.Header)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	if r := b.form(t, "/api/auth/backchannel-logout", told); r.StatusCode != http.StatusBadRequest {
		t.Errorf("the same token again is answered %d", r.StatusCode)
	}
	t.Run("all sessions of a person", func(t *testing.T) {
		one, two := g.signedIn(t), g.signedIn(t)
		c := claims("")
		c.Extra["sid"] = nil
		other.form(t, "/api/auth/backchannel-logout", url.Values{"logout_token": {w.idp.Token(t, c)}}).want(t, http.StatusOK, "")
		one.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
		two.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
	})
	t.Run("by a stolen key", func(t *testing.T) {
		one := g.signedIn(t)
		token := w.idp.Token(t, claims(""))
		var header struct {
			KeyID string `json:"kid"`
		}
		raw, _ := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
		if err := json.Unmarshal(raw, &header); err != nil || header.KeyID == "" {
			t.Fatal("no kid")
		}
		if err := w.revoked.Add(revocation.Entry{Kind: revocation.Key, Value: header.KeyID}); err != nil {
			t.Fatal(err)
		}
		if r := one.form(t, "/api/auth/backchannel-logout", url.Values{"logout_token": {token}}); r.StatusCode != http.StatusBadRequest {
			t.Errorf("answered %d", r.StatusCode)
		}
	})
}

func TestPages(t *testing.T) {
	g := newWorld(t).gateway(t)
	b := g.browser(t)
	for path, title := range map[string]string{
		"/api/auth/signin?callbackUrl=/systems": "Sign in", "/api/auth/signin?error=<script>": "Sign in", "/api/auth/signout": "Sign out?",
		"/api/auth/error?error=<script>": "You are not signed in", "/api/docs": "API",
	} {
		r := b.get(t, path).want(t, http.StatusOK, "")
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.Contains(r.body, "<title>"+title+" · RealGuardIO</title>") || !strings.Contains(r.body, `<svg class="mark"`) ||
			strings.Contains(r.body, "<style") || strings.Contains(r.body, "style=") || !strings.Contains(csp, "style-src 'self';") {
			t.Errorf("%s does not look like the application: %s\n%s", path, csp, r.body)
		}
		if strings.Contains(r.body, "<script") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") ||
			!strings.Contains(csp, "frame-ancestors 'none'") || r.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %s\n%s", path, csp, r.body)
		}
	}
	css := b.get(t, "/api/auth/page.css").want(t, http.StatusOK, "")
	if !strings.Contains(css.body, "--accent:") || !strings.Contains(css.body, ".button.primary") || css.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("the style is not the application's: %v", css.Header)
	}
	r := b.get(t, "/api/auth/signin?callbackUrl=/systems")
	if !strings.Contains(r.Header.Get("Content-Security-Policy"), "form-action 'self' "+g.idp.URL) {
		t.Errorf("the form may not lead to the provider: %s", r.Header.Get("Content-Security-Policy"))
	}
	b.token(t)
	r = b.form(t, "/api/auth/signin/realguardio", url.Values{"csrfToken": {b.csrf}}).want(t, http.StatusSeeOther, "")
	if !strings.HasPrefix(r.Header.Get("Location"), g.idp.URL+"/oauth2/authorize?") {
		t.Errorf("a plain form leads to %s", r.Header.Get("Location"))
	}
}
