package token_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestRedirectsAreExact are ways to have a code sent elsewhere. Each is answered by a page, never by a redirect.
func TestRedirectsAreExact(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for _, tc := range []struct{ name, client, uri string }{
			{"not registered", "web", "https://evil.example/callback"},
			{"none, with openid", "web", ""},
			{"none, with several registered", "native", ""},
			{"the host as a prefix", "web", "https://app.example.com.evil.example/callback"},
			{"a path that climbs", "web", "https://app.example.com/callback/../evil"},
			{"an encoded path", "web", "https://app.example.com/%2e%2e/callback"},
			{"an encoded slash", "web", "https://app.example.com%2fcallback"},
			{"doubly encoded", "web", "https://app.example.com/%252fcallback"},
			{"a path parameter", "web", "https://app.example.com/callback;x"},
			{"a query added", "web", "https://app.example.com/callback?x=1"},
			{"a fragment added", "web", "https://app.example.com/callback#x"},
			{"a slash added", "web", "https://app.example.com/callback/"},
			{"another case of the path", "web", "https://app.example.com/Callback"},
			{"another case of the host", "web", "https://APP.example.com/callback"},
			{"the default port", "web", "https://app.example.com:443/callback"},
			{"plaintext", "web", "http://app.example.com/callback"},
			{"a user name", "web", "https://app.example.com@evil.example/callback"},
			{"many user names", "web", "https://app.example.com@app.example.com@evil.example/callback"},
			{"a dot as any character", "web", "https://appXexample.com/callback"},
			{"javascript", "web", "javascript:alert(1)"},
			{"data", "web", "data:text/html,x"},
			{"white space", "web", " https://app.example.com/callback"},
			{"a line break", "web", "https://app.example.com/callback\r\nSet-Cookie: x=y"},
			{"a registered one of another client", "web", partnerURI},
			{"another loopback path", "native", "http://127.0.0.1:1234/other"},
			{"another loopback name", "native", "http://localhost:1234/cb"},
			{"a port that is none", "native", "http://127.0.0.1:80@evil.example/cb"},
			{"a port that is too long", "native", "http://127.0.0.1:123456/cb"},
			{"loopback as a prefix", "native", "http://127.0.0.1.evil.example/cb"},
			{"a port where none is free", "native", "https://native.example.com:8443/cb"},
			{"an unknown client", "nobody", webCallback},
			{"a client without the grant", "service", webCallback},
		} {
			t.Run(tc.name, func(t *testing.T) {
				// Whatever else is wrong in the request must not lead to a redirect either.
				for _, also := range [][]string{nil, {"response_type", "token"}, {"code_challenge", ""}, {"scope", "openid nonsense"}, {"prompt", "none"}} {
					r := s.get(asks(tc.client, tc.uri, append(also, "redirect_uri", tc.uri)...))
					if r.status != http.StatusBadRequest || r.header.Get("Location") != "" || len(r.header["Set-Cookie"]) > 0 {
						t.Errorf("%v: %d to %q", also, r.status, r.header.Get("Location"))
					}
					if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
						t.Errorf("%v: not a page", also)
					}
				}
			})
		}
		for _, query := range []string{"", "client_id=web&client_id=web", "client_id=web&redirect_uri=a&redirect_uri=b", "%zz", "client_id=%00", "client_id=%ff"} {
			if r := s.get("/oauth2/authorize?" + query); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
				t.Errorf("%q: %d", query, r.status)
			}
		}
	})
}

func TestAuthorizationRequestsAreChecked(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for _, tc := range []struct {
			name, want string
			ask        []string
		}{
			{"no response_type", "unsupported_response_type", []string{"response_type", ""}},
			{"an unknown one", "unsupported_response_type", []string{"response_type", "magic"}},
			{"implicit", "unauthorized_client", []string{"response_type", "token"}},
			{"hybrid", "unsupported_response_type", []string{"response_type", "code id_token"}},
			{"nothing at all", "unsupported_response_type", []string{"response_type", "none"}},
			{"an unknown response_mode", "invalid_request", []string{"response_mode", "jwt"}},
			{"claims that are no object", "invalid_request", []string{"claims", "[]"}},
			{"claims that are null", "invalid_request", []string{"claims", "null"}},
			{"claims that are not JSON", "invalid_request", []string{"claims", "{"}},
			{"a sub that is no string", "invalid_request", []string{"claims", `{"id_token":{"sub":{"value":1}}}`}},
			{"an acr that is essential and not offered", "unmet_authentication_requirements", []string{"claims", `{"id_token":{"acr":{"essential":true,"values":["3"]}}}`}},
			{"no challenge", "invalid_request", []string{"code_challenge", "", "code_challenge_method", ""}},
			{"plain", "invalid_request", []string{"code_challenge_method", "plain"}},
			{"no method, which means plain", "invalid_request", []string{"code_challenge_method", ""}},
			{"a challenge too short", "invalid_request", []string{"code_challenge", strings.Repeat("a", 42)}},
			{"a challenge too long", "invalid_request", []string{"code_challenge", strings.Repeat("a", 129)}},
			{"a challenge of other characters", "invalid_request", []string{"code_challenge", strings.Repeat("+", 43)}},
			{"an unknown scope", "invalid_scope", []string{"scope", "openid nonsense"}},
			{"a scope that the client does not have", "invalid_scope", []string{"scope", "openid admin"}},
			{"an unknown resource", "invalid_target", []string{"resource", "https://evil.example"}},
			{"a resource that is like a known one", "invalid_target", []string{"resource", "urn:realguardio:api/"}},
			{"a request object", "request_not_supported", []string{"request", "x.y.z"}},
			{"a request elsewhere", "request_uri_not_supported", []string{"request_uri", "http://169.254.169.254/"}},
			{"a registration", "registration_not_supported", []string{"registration", "{}"}},
			{"an unknown prompt", "invalid_request", []string{"prompt", "maybe"}},
			{"prompt=none with another", "invalid_request", []string{"prompt", "none login"}},
			{"a max_age that is no number", "invalid_request", []string{"max_age", "soon"}},
			{"a negative max_age", "invalid_request", []string{"max_age", "-1"}},
			{"a parameter too long", "invalid_request", []string{"nonce", strings.Repeat("n", 3000)}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				to := s.get(asks("web", webCallback, tc.ask...)).location(t)
				q := answerIn(to)
				if to.Scheme+"://"+to.Host+to.Path != webCallback || q.Get("error") != tc.want || q.Get("state") != "the-state" || q.Get("iss") != s.url || q.Has("code") {
					t.Errorf("sent to %s", to)
				}
			})
		}
		to := s.get(asks("web", webCallback) + "&nonce=second").location(t)
		if to.Query().Get("error") != "invalid_request" {
			t.Errorf("two nonces: %s", to)
		}
		if r := s.get(asks("web", webCallback), "Origin", "https://evil.example"); r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("the authorization endpoint allows cross-origin reads")
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		basic := func(id, secret string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
		}
		encoded := basic("web", url.QueryEscape(webSecret))
		grant := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"grt_none.1.x"}}
		for _, tc := range []struct {
			name    string
			headers []string
			form    url.Values
			status  int
			code    string
		}{
			{"Basic", []string{encoded}, nil, 400, "invalid_grant"},
			{"Basic with the same client_id", []string{encoded}, url.Values{"client_id": {"web"}}, 400, "invalid_grant"},
			{"in the body", nil, url.Values{"client_id": {"web"}, "client_secret": {webSecret}}, 400, "invalid_grant"},
			{"a public client", nil, url.Values{"client_id": {"native"}}, 400, "invalid_grant"},
			{"Basic that is not form-encoded", []string{basic("web", webSecret)}, nil, 401, "invalid_client"},
			{"a wrong secret", []string{basic("web", "wrong")}, nil, 401, "invalid_client"},
			{"an empty secret", []string{basic("web", "")}, nil, 401, "invalid_client"},
			{"an empty secret in the body", nil, url.Values{"client_id": {"web"}, "client_secret": {""}}, 401, "invalid_client"},
			{"no secret", nil, url.Values{"client_id": {"web"}}, 401, "invalid_client"},
			{"a secret for a public client", nil, url.Values{"client_id": {"native"}, "client_secret": {"x"}}, 401, "invalid_client"},
			{"Basic for a public client", []string{basic("native", "")}, nil, 401, "invalid_client"},
			{"nobody", nil, nil, 401, "invalid_client"},
			{"an unknown client", []string{basic("nobody", "x")}, nil, 401, "invalid_client"},
			{"a NUL", []string{basic("web%00", "x")}, nil, 401, "invalid_client"},
			{"another scheme", []string{"Bearer x"}, nil, 401, "invalid_client"},
			{"two methods", []string{encoded}, url.Values{"client_secret": {webSecret}}, 400, "invalid_request"},
			{"a secret without a value beside Basic", []string{encoded}, url.Values{"client_secret": {""}, "resource": {""}}, 400, "invalid_grant"},
			{"a secret without a value for a public client", nil, url.Values{"client_id": {"native"}, "client_secret": {""}}, 400, "invalid_grant"},
			{"a parameter twice without a value", []string{encoded}, url.Values{"scope": {"", ""}}, 400, "invalid_request"},
			{"two headers", []string{encoded, encoded}, nil, 400, "invalid_request"},
			{"two clients", []string{encoded}, url.Values{"client_id": {"native"}}, 400, "invalid_request"},
			{"a parameter twice", []string{encoded}, url.Values{"scope": {"a", "b"}}, 400, "invalid_request"},
			{"an assertion beside a secret", []string{encoded}, url.Values{"client_assertion": {"x.y."}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, 401, "invalid_client"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				form := url.Values{}
				for _, values := range []url.Values{grant, tc.form} {
					for k, v := range values {
						form[k] = v
					}
				}
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/token", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				for _, h := range tc.headers {
					r.Header.Add("Authorization", h)
				}
				got := s.do(plain, r)
				refused(t, got, tc.status, tc.code)
				if got.status == 401 && len(tc.headers) > 0 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
					t.Errorf("WWW-Authenticate: %q", got.header.Get("WWW-Authenticate"))
				}
			})
		}
	})
}

func TestTokenRequestsAreChecked(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for _, tc := range []struct {
			name, client, secret string
			form                 url.Values
			code                 string
		}{
			{"no grant_type", "service", serviceSecret, url.Values{}, "invalid_request"},
			{"an unknown one", "service", serviceSecret, url.Values{"grant_type": {"magic"}}, "unsupported_grant_type"},
			{"one that the client may not use", "web", webSecret, url.Values{"grant_type": {"client_credentials"}}, "unauthorized_client"},
			{"the password grant where it is off", "web", webSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}}, "unauthorized_client"},
			{"an unknown scope", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {"nonsense"}}, "invalid_scope"},
			{"a scope about a person", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}, "invalid_scope"},
			{"an unknown resource", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}, "resource": {"https://evil.example"}}, "invalid_target"},
			{"a wrong password", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {"guess"}}, "invalid_grant"},
			{"no password", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}}, "invalid_request"},
			{"a NUL", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {"a\x00"}, "password": {"b"}}, "invalid_request"},
			{"no code", "web", webSecret, url.Values{"grant_type": {"authorization_code"}}, "invalid_request"},
			{"an unknown code", "web", webSecret, redeems("guess", webCallback), "invalid_grant"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				refused(t, s.post("/oauth2/token", tc.client, tc.secret, tc.form), 400, tc.code)
			})
		}
		big := url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Repeat("x", 1<<20)}}
		refused(t, s.post("/oauth2/token", "service", serviceSecret, big), 400, "invalid_request")
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/token?grant_type=client_credentials&client_id=service&client_secret="+url.QueryEscape(serviceSecret), strings.NewReader(""))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		refused(t, s.do(plain, r), 401, "invalid_client")
		r, _ = http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/token", strings.NewReader(`{"grant_type":"client_credentials"}`))
		r.Header.Set("Content-Type", "application/json")
		refused(t, s.do(plain, r), 400, "invalid_request")
		if r := s.get("/oauth2/token"); r.status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", r.status)
		}
	})
}

// TestACodeIsBound tries a code with one thing different; the code is still good afterwards.
func TestACodeIsBound(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		code := s.browser().code(asks("web", webCallback))
		for name, change := range map[string]func(url.Values){
			"another redirect_uri": func(f url.Values) { f.Set("redirect_uri", partnerURI) },
			"no redirect_uri":      func(f url.Values) { f.Del("redirect_uri") },
			"another verifier":     func(f url.Values) { f.Set("code_verifier", strings.Repeat("a", 43)) },
			"no verifier":          func(f url.Values) { f.Del("code_verifier") },
			"the challenge itself": func(f url.Values) { f.Set("code_verifier", challenge(verifier)) },
		} {
			form := redeems(code, webCallback)
			change(form)
			t.Run(name, func(t *testing.T) {
				refused(t, s.post("/oauth2/token", "web", webSecret, form), 400, "invalid_grant")
			})
		}
		refused(t, s.post("/oauth2/token", "partner", partnerSecret, redeems(code, webCallback)), 400, "invalid_grant")
		if r := s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
		late := s.browser().code(asks("web", webCallback))
		s.clock.Advance(61 * time.Second)
		refused(t, s.post("/oauth2/token", "web", webSecret, redeems(late, webCallback)), 400, "invalid_grant")
	})
}

// TestTheLoginPageIsBoundToItsBrowser is login CSRF and session fixation.
func TestTheLoginPageIsBoundToItsBrowser(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		attacker, victim := s.browser(), s.browser()
		link := attacker.open(asks("web", webCallback)).location(t).RequestURI()
		form := attacker.open(link).form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		victim.open(asks("web", webCallback)) // has a cookie of its own
		if r := victim.open(link); r.status != http.StatusForbidden {
			t.Errorf("another browser's link: %d", r.status)
		}
		if r := victim.submit("/login", form); r.status != http.StatusForbidden || victim.cookie("rgt_login") != "" {
			t.Errorf("another browser's form: %d", r.status)
		}
		for name, headers := range map[string][]string{
			"another site":        {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			"another origin":      {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			"a sibling":           {"Sec-Fetch-Site", "same-site", "Origin", "http://sibling.localhost"},
			"the origin \"null\"": {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			if r := attacker.submit("/login", form, headers...); r.status != http.StatusForbidden || attacker.cookie("rgt_login") != "" {
				t.Errorf("from %s: %d", name, r.status)
			}
		}
		if r := attacker.submit("/login", form); r.status != http.StatusSeeOther {
			t.Errorf("from our page: %d", r.status)
		}
		if r := attacker.submit("/login", form); r.status != http.StatusForbidden {
			t.Errorf("the same form twice: %d", r.status)
		}
		for _, path := range []string{"/login", "/login?tx=", "/login?tx=guess", "/login?tx=" + strings.Repeat("x", 5000), "/consent", "/consent?tx=guess"} {
			if r := attacker.open(path); r.status != http.StatusForbidden {
				t.Errorf("%.20s: %d", path, r.status)
			}
		}
	})
}

func TestPagesCannotBeFramedOrScripted(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		page := b.open(b.open(asks("web", webCallback, "login_hint", `"><script>alert(1)</script>`)).location(t).RequestURI())
		if strings.Contains(page.body, "<script") || !strings.Contains(page.body, "&lt;script&gt;") {
			t.Error("the login_hint is not escaped")
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'",
			"X-Frame-Options":         "DENY",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "same-origin",
			"Cache-Control":           "no-store",
		} {
			if got := page.header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		for _, want := range []string{`autocomplete="username"`, `autocomplete="current-password"`, `<label for="username">`, `<label for="password">`, `lang="en"`} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the page lacks %s", want)
			}
		}
	})
}

// TestNobodyLearnsWhoHasAnAccount compares the answers for an account and for none, by both ways in.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user("nopassword@acme.example", "")
		answers := map[string]bool{}
		for _, who := range []string{alice, "nobody@acme.example", "nopassword@acme.example"} {
			r := s.browser().signIn(asks("web", webCallback), who, "a wrong guess")
			if r.status != http.StatusForbidden || !strings.Contains(r.body, "Wrong e-mail or password.") || !strings.Contains(r.body, `aria-describedby="problem"`) {
				t.Errorf("%s: %d", who, r.status)
			}
			answers[hidden.ReplaceAllString(strings.ReplaceAll(r.body, who, "WHO"), "")] = true
			grant := s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {who}, "password": {"a wrong guess"}})
			refused(t, grant, 400, "invalid_grant")
		}
		if len(answers) != 1 {
			t.Errorf("%d different pages", len(answers))
		}
	})
}

// TestGuessingIsLimited: ten wrong passwords of one account from one network, whatever door they come by, and at once or one by one.
func TestGuessingIsLimited(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		guess := func(who, secret string) reply {
			return s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {who}, "password": {secret}})
		}
		tried := 0
		for _, r := range parallel(30, func() reply { return guess(alice, "a wrong guess") }) {
			if r.status == http.StatusBadRequest {
				tried++
			} else if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if tried != 10 {
			t.Errorf("%d guesses were looked at", tried)
		}
		refused(t, guess("ALICE@acme.example ", alicePassword), 429, "slow_down")
		page := s.browser().signIn(asks("web", webCallback), alice, alicePassword)
		if page.status != http.StatusTooManyRequests || !strings.Contains(page.body, "Too many attempts") {
			t.Errorf("the login page: %d", page.status)
		}
		s.user("bob@foo.example", "another password")
		if r := guess("bob@foo.example", "another password"); r.status != http.StatusOK {
			t.Errorf("somebody else: %d %s", r.status, r.body)
		}
		limited := 0
		for i := range 120 {
			if guess(fmt.Sprintf("user%d@acme.example", i), "a wrong guess").status == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited != 120-90 {
			t.Errorf("%d of 120 accounts tried from one address were limited", limited)
		}
	})
}

func TestTokensOfAnotherKindAreRefused(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		tokens := s.tokens()
		access := tokens.str("access_token")
		parts := strings.Split(access, ".")
		b64 := base64.RawURLEncoding
		header := func(h string) string { return b64.EncodeToString([]byte(h)) + "." + parts[1] + "." }
		service := s.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}})
		for name, token := range map[string]string{
			"an ID token":        tokens.str("id_token"),
			"a refresh token":    tokens.str("refresh_token"),
			"unsigned":           header(`{"alg":"none","typ":"at+jwt"}`),
			"HS256":              header(`{"alg":"HS256","typ":"at+jwt"}`) + parts[2],
			"another kid":        header(`{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`) + parts[2],
			"another payload":    parts[0] + "." + b64.EncodeToString([]byte(`{"sub":"x"}`)) + "." + parts[2],
			"many dots":          strings.Repeat(".", 5000),
			"too long":           access + strings.Repeat("A", 10000),
			"nothing":            "x",
			"a cut signature":    access[:len(access)-10],
			"no header at all":   "." + parts[1] + "." + parts[2],
			"a garbled header":   "!!!." + parts[1] + "." + parts[2],
			"a signature beside": access + "." + parts[2],
		} {
			r := s.get("/oauth2/userinfo", "Authorization", "Bearer "+token)
			if r.status != 401 || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s: %d %s", name, r.status, r.header.Get("WWW-Authenticate"))
			}
		}
		if r := s.get("/oauth2/userinfo", "Authorization", "Bearer "+service.str("access_token")); r.status != 403 {
			t.Errorf("a client's own token: %d", r.status)
		}
		if r := s.get("/oauth2/userinfo"); r.status != 401 || strings.Contains(r.header.Get("WWW-Authenticate"), "error") {
			t.Errorf("no token: %d %s", r.status, r.header.Get("WWW-Authenticate"))
		}
		if r := s.get("/oauth2/userinfo", "Authorization", "Bearer "+access, "Authorization", "Bearer "+access); r.status != 400 {
			t.Errorf("two tokens: %d", r.status)
		}
		s.clock.Advance(6 * time.Minute)
		if s.accepted(access) {
			t.Error("an expired token is accepted")
		}
	})
}

func TestIntrospection(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		access := s.tokens().str("access_token")
		ask := func(client, secret, token string) reply {
			return s.post("/oauth2/introspect", client, secret, url.Values{"token": {token}})
		}
		if r := ask("web", webSecret, access); r.json["active"] != true || r.str("client_id") != "web" {
			t.Errorf("its own client: %s", r.body)
		}
		if r := ask("customer", serviceSecret, access); r.json["active"] != true {
			t.Errorf("a workload: %s", r.body)
		}
		for name, r := range map[string]reply{
			"another client": ask("partner", partnerSecret, access),
			"garbage":        ask("web", webSecret, "garbage"),
		} {
			if r.status != 200 || r.body != `{"active":false}` {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		refused(t, ask("web", "wrong", access), 401, "invalid_client")
		refused(t, s.post("/oauth2/introspect", "", "", url.Values{"client_id": {"native"}, "token": {access}}), 401, "invalid_client")
	})
}
