package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// pushes is an authorization request as a form, changed by pairs of name and value ("" removes).
func pushes(client, redirect string, changes ...string) url.Values {
	_, query, _ := strings.Cut(asks(client, redirect, changes...), "?")
	form, _ := url.ParseQuery(query)
	return form
}

// push pushes a request of the web app and returns its request_uri.
func (s *server) push(changes ...string) string {
	s.t.Helper()
	r := s.post("/oauth2/par", "web", webSecret, pushes("web", webCallback, changes...))
	if r.status != http.StatusCreated || !strings.HasPrefix(r.str("request_uri"), "urn:ietf:params:oauth:request_uri:") {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	return r.str("request_uri")
}

func begins(client, requestURI string) string {
	return "/oauth2/authorize?" + url.Values{"client_id": {client}, "request_uri": {requestURI}}.Encode()
}

func TestAPushedRequestIsAnsweredOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.post("/oauth2/par", "web", webSecret, pushes("web", webCallback))
		if r.status != http.StatusCreated || r.json["expires_in"] != 90.0 || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		b := s.browser()
		request := begins("web", r.str("request_uri"))
		// Whatever the URL says besides counts for nothing.
		to := b.signIn(request+"&state=other&scope=admin&redirect_uri=https%3A%2F%2Fevil.example%2F", alice, alicePassword).location(t)
		if !strings.HasPrefix(to.String(), webCallback+"?") || to.Query().Get("state") != "the-state" || to.Query().Get("iss") != s.url {
			t.Fatalf("sent to %s", to)
		}
		tokens := s.post("/oauth2/token", "web", webSecret, redeems(s.logs.secret(to.Query().Get("code")), webCallback))
		if tokens.status != http.StatusOK || tokens.str("scope") != "openid profile email securitysystem.read" {
			t.Errorf("%d %s", tokens.status, tokens.body)
		}
		if again := b.open(request); again.status != http.StatusBadRequest || again.header.Get("Location") != "" {
			t.Errorf("once more: %d to %q", again.status, again.header.Get("Location"))
		}
		// Without a page in between it is one atomic step.
		uri := begins("web", s.push())
		codes := 0
		for _, r := range parallel(50, func() reply { return b.open(uri) }) {
			switch r.status {
			case http.StatusSeeOther:
				codes++
			case http.StatusBadRequest:
			default:
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if codes != 1 {
			t.Errorf("%d of 50 got a code", codes)
		}
	})
}

// TestAPushedRequestStaysWithItsBrowser: a person may reload the page, go back, and take their time; nobody else may have it.
func TestAPushedRequestStaysWithItsBrowser(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b, other := s.browser(), s.browser()
		other.open(asks("web", webCallback)) // has a cookie of its own
		request := begins("web", s.push())
		if to := b.open(request).location(t); to.Path != "/login" {
			t.Fatalf("sent to %s", to)
		}
		if to := b.open(request).location(t); to.Path != "/login" {
			t.Errorf("reloaded: %s", to)
		}
		for name, foreign := range map[string]*browser{"another browser": other, "one that is not known": s.browser()} {
			if r := foreign.open(request); r.status != http.StatusBadRequest || r.header.Get("Location") != "" || !strings.Contains(r.body, "This sign-in has ended") {
				t.Errorf("%s: %d to %q", name, r.status, r.header.Get("Location"))
			}
		}
		s.clock.Advance(5 * time.Minute)
		to := b.signIn(request, alice, alicePassword).location(t)
		if s.logs.secret(to.Query().Get("code")) == "" {
			t.Fatalf("after a while: %s", to)
		}
		if r := b.open(request); r.status != http.StatusBadRequest {
			t.Errorf("after the answer: %d", r.status)
		}
	})
}

// TestTwoTabsOfAPushedRequestHaveOneAnswer signs in twice for one request, of which the second is too late.
func TestTwoTabsOfAPushedRequestHaveOneAnswer(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		request := begins("web", s.push())
		first, second := b.open(request).location(t).RequestURI(), b.open(request).location(t).RequestURI()
		answers := map[int]int{}
		for _, tab := range []string{first, second} {
			form := b.open(tab).form()
			form.Set("username", alice)
			form.Set("password", alicePassword)
			r := b.open(b.submit("/login", form).location(t).RequestURI())
			answers[r.status]++
			if r.status == http.StatusSeeOther {
				s.logs.secret(r.location(t).Query().Get("code"))
			}
		}
		if answers[http.StatusSeeOther] != 1 || answers[http.StatusBadRequest] != 1 {
			t.Errorf("answers by status: %v", answers)
		}
	})
}

func TestADeniedPushedRequestIsOver(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.post("/oauth2/par", "partner", partnerSecret, pushes("partner", partnerURI))
		b := s.browser()
		request := begins("partner", r.str("request_uri"))
		form := b.open(b.signIn(request, alice, alicePassword).location(t).RequestURI()).form()
		form.Set("decision", "deny")
		if to := b.submit("/consent", form).location(t); to.Query().Get("error") != "access_denied" || to.Query().Get("state") != "the-state" {
			t.Errorf("denied: %s", to)
		}
		if r := b.open(request); r.status != http.StatusBadRequest {
			t.Errorf("once more: %d", r.status)
		}
		silent := begins("web", s.push("prompt", "none"))
		nobody := s.browser()
		if to := nobody.open(silent).location(t); to.Query().Get("error") != "login_required" || nobody.cookie("rgt_browser") != "" {
			t.Errorf("silently: %s", to)
		}
		if r := nobody.open(silent); r.status != http.StatusBadRequest {
			t.Errorf("silently once more: %d", r.status)
		}
	})
}

func TestPushedRequestsAreChecked(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		for _, tc := range []struct {
			name   string
			ask    []string
			status int
			code   string
		}{
			{"a redirect_uri that is not registered", []string{"redirect_uri", "https://evil.example/"}, 400, "invalid_request"},
			{"an unknown scope", []string{"scope", "openid nonsense"}, 400, "invalid_scope"},
			{"no challenge", []string{"code_challenge", "", "code_challenge_method", ""}, 400, "invalid_request"},
			{"an unknown response_type", []string{"response_type", "magic"}, 400, "unsupported_response_type"},
			{"a request_uri inside", []string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}, 400, "invalid_request"},
			{"a request object", []string{"request", "x.y.z"}, 400, "request_not_supported"},
			{"a forged hint", []string{"id_token_hint", "x.y.z"}, 400, "login_required"},
			{"another client", []string{"client_id", "partner"}, 400, "invalid_request"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				refused(t, s.post("/oauth2/par", "web", webSecret, pushes("web", webCallback, tc.ask...)), tc.status, tc.code)
			})
		}
		refused(t, s.post("/oauth2/par", "web", "wrong", pushes("web", webCallback)), 401, "invalid_client")
		refused(t, s.post("/oauth2/par", "", "", pushes("web", webCallback)), 401, "invalid_client")
		twice := pushes("web", webCallback)
		twice["nonce"] = []string{"a", "b"}
		refused(t, s.post("/oauth2/par", "web", webSecret, twice), 400, "invalid_request")
		if r := s.post("/oauth2/par", "", "", pushes("native", nativeURI)); r.status != http.StatusCreated {
			t.Errorf("a public client: %d %s", r.status, r.body)
		}
		if r := s.get("/oauth2/par?" + pushes("web", webCallback).Encode()); r.status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", r.status)
		}
		inBody := pushes("web", webCallback)
		inBody.Set("client_secret", webSecret)
		if r := s.post("/oauth2/par", "", "", inBody); r.status != http.StatusCreated {
			t.Errorf("with the secret in the body: %d %s", r.status, r.body)
		}
	})
}

// TestARequestURIIsGoodForItsClientAlone: each of these is a page, and leaves the request to whom it belongs.
func TestARequestURIIsGoodForItsClientAlone(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		b.code(asks("web", webCallback))
		uri := s.push()
		for name, request := range map[string]string{
			"another client":    begins("partner", uri),
			"an unknown client": begins("nobody", uri),
			"no client":         "/oauth2/authorize?" + url.Values{"request_uri": {uri}}.Encode(),
			"a guess":           begins("web", "urn:ietf:params:oauth:request_uri:guess"),
			"nothing":           begins("web", "urn:ietf:params:oauth:request_uri:"),
			"two of them":       begins("web", uri) + "&request_uri=" + url.QueryEscape(uri),
			"a request object":  begins("web", uri) + "&request=x.y.z",
			"too long":          begins("web", uri+strings.Repeat("x", 5000)),
		} {
			if r := b.open(request); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
				t.Errorf("%s: %d to %q", name, r.status, r.header.Get("Location"))
			}
		}
		for _, elsewhere := range []string{"http://169.254.169.254/latest", "https://evil.example/request.jwt", "file:///etc/passwd", "urn:ietf:params:oauth:request_uriX"} {
			if to := b.open(asks("web", webCallback, "request_uri", elsewhere)).location(t); to.Query().Get("error") != "request_uri_not_supported" {
				t.Errorf("%s: %s", elsewhere, to)
			}
		}
		if to := b.open(begins("web", uri)).location(t); s.logs.secret(to.Query().Get("code")) == "" {
			t.Errorf("its client: %s", to)
		}
		late := s.push()
		s.clock.Advance(91 * time.Second)
		if r := b.open(begins("web", late)); r.status != http.StatusBadRequest {
			t.Errorf("too late: %d", r.status)
		}
		changed := s.push()
		s.exec(`UPDATE clients SET redirect_uris = 'https://elsewhere.example/cb' WHERE id = 'web'`)
		if r := b.open(begins("web", changed)); r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("no longer registered: %d to %q", r.status, r.header.Get("Location"))
		}
	})
}

func TestAClientCanBeHeldToPushing(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.exec(`UPDATE clients SET require_pushed_requests = TRUE WHERE id = 'web'`)
		b := s.browser()
		if to := b.open(asks("web", webCallback)).location(t); to.Query().Get("error") != "invalid_request" || to.Query().Get("iss") != s.url {
			t.Errorf("by the browser: %s", to)
		}
		if to := b.signIn(begins("web", s.push()), alice, alicePassword).location(t); s.logs.secret(to.Query().Get("code")) == "" {
			t.Errorf("pushed: %s", to)
		}
		d := s.get("/.well-known/openid-configuration")
		if d.str("pushed_authorization_request_endpoint") != s.url+"/oauth2/par" || d.json["require_pushed_authorization_requests"] != false {
			t.Errorf("discovery: %s", d.body)
		}
	})
}

// TestPushingIsLimited: somebody who names a client that cannot authenticate fills no memory, and keeps nobody else out.
func TestPushingIsLimited(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if err := s.redis.Set(t.Context(), "rgt:{attempts}:push:address:127.0.0.1", 490, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		counts := map[int]int{}
		for _, r := range parallel(20, func() reply { return s.post("/oauth2/par", "", "", pushes("native", nativeURI)) }) {
			counts[r.status]++
			if r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") == "" {
				t.Error("it does not say when to come again")
			}
		}
		if counts[http.StatusCreated] != 10 || counts[http.StatusTooManyRequests] != 10 {
			t.Errorf("answers by status: %v", counts)
		}
		s.push()
	})
}
