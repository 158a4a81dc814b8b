package token_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

const boxSecret = "rgs_box-secret-for-tests"

// devices adds clients without a browser: one of our own without a secret, and one of others with one.
func (s *server) devices() *server {
	s.t.Helper()
	grants := []string{oauth.GrantDeviceCode, oauth.GrantRefreshToken}
	scopes := []string{"openid", "profile", "securitysystem.read"}
	for _, c := range []token.ClientSpec{
		{ID: "tv", Name: "Television <b>", Public: true, FirstParty: true, Grants: grants, Scopes: scopes},
		{ID: "radio", Name: "Radio", Public: true, FirstParty: true, Grants: grants, Scopes: scopes},
		{ID: "box", Name: "Box", Secret: s.logs.secret(boxSecret), Grants: grants, Scopes: scopes},
	} {
		if _, err := s.EnsureClient(s.t.Context(), c); err != nil {
			s.t.Fatal(err)
		}
	}
	return s
}

// device begins the authorization of a television.
func (s *server) device(more ...string) reply {
	s.t.Helper()
	form := url.Values{"client_id": {"tv"}, "scope": {"openid securitysystem.read"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	r := s.post("/oauth2/device_authorization", "", "", form)
	if r.status != http.StatusOK {
		s.t.Fatalf("beginning: %d %s", r.status, r.body)
	}
	s.logs.secret(r.str("device_code"))
	s.logs.secret(r.str("user_code"))
	return r
}

func (s *server) poll(deviceCode string, more ...string) reply {
	s.t.Helper()
	form := url.Values{"grant_type": {oauth.GrantDeviceCode}, "client_id": {"tv"}, "device_code": {deviceCode}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return s.post("/oauth2/token", "", "", form)
}

// atDevicePage is a browser in which somebody has signed in for the device page.
func (s *server) atDevicePage(email, secret string) *browser {
	s.t.Helper()
	b := s.browser()
	if to := b.login("/device", email, secret).location(s.t); to.String() != "/device" {
		s.t.Fatalf("sent to %s", to)
	}
	return b
}

func (b *browser) types(userCode string) reply {
	b.t.Helper()
	return b.submit("/device", url.Values{"user_code": {userCode}})
}

// answers types a code and answers the page that asks.
func (b *browser) answers(userCode, decision string) reply {
	b.t.Helper()
	page := b.types(userCode)
	if page.status != http.StatusOK {
		b.t.Fatalf("typing the code: %d %s", page.status, page.body)
	}
	form := page.form()
	form.Set("decision", decision)
	return b.submit("/device/answer", form)
}

func TestADeviceIsConnected(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		here := start(t, st).devices()
		there := begin(t, st, "127.0.0.1:0", here.clock, here.logs)
		begun := here.device()
		code := begun.str("user_code")
		if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(code) || begun.json["expires_in"] != 600.0 ||
			begun.json["interval"] != 5.0 || begun.str("verification_uri") != here.url+"/device" ||
			begun.str("verification_uri_complete") != here.url+"/device?user_code="+code || len(begun.str("device_code")) < 43 ||
			begun.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s", begun.body)
		}
		refused(t, there.poll(begun.str("device_code")), 400, "authorization_pending")

		b := here.browser()
		if to := b.login("/device?user_code="+strings.ToLower(code), alice, alicePassword).location(t); to.String() != "/device" {
			t.Fatalf("sent to %s", to)
		}
		page := b.open("/device")
		if page.status != http.StatusOK || !strings.Contains(page.body, `value="`+code+`"`) || !strings.Contains(page.body, "Signed in as "+alice) {
			t.Fatalf("the code of the link: %s", page.body)
		}
		refused(t, here.poll(begun.str("device_code")), 400, "slow_down")
		asked := b.types(strings.ToLower(strings.ReplaceAll(code, "-", " ")))
		for _, want := range []string{"Television &lt;b&gt;", code, "know that it is you", "see your security systems and their state", alice, "Deny", "Allow"} {
			if !strings.Contains(asked.body, want) {
				t.Errorf("the page does not say %q: %s", want, asked.body)
			}
		}
		form := asked.form()
		form.Set("decision", "allow")
		done := b.submit("/device/answer", form)
		if done.status != http.StatusOK || !strings.Contains(done.body, "Go back to it") || b.cookie("rgt_user_code") != "" {
			t.Fatalf("%d %s", done.status, done.body)
		}
		tokens := there.poll(begun.str("device_code"))
		if tokens.status != http.StatusOK || tokens.str("scope") != "openid securitysystem.read" || tokens.str("refresh_token") == "" || tokens.str("id_token") == "" {
			t.Fatalf("%d %s", tokens.status, tokens.body)
		}
		if !there.accepted(tokens.str("access_token")) {
			t.Error("the access token is not accepted")
		}
		renewed := here.post("/oauth2/token", "", "", url.Values{"grant_type": {"refresh_token"}, "client_id": {"tv"}, "refresh_token": {tokens.str("refresh_token")}})
		if renewed.status != http.StatusOK {
			t.Errorf("renewing: %d %s", renewed.status, renewed.body)
		}
		if r := b.types(code); r.status != http.StatusBadRequest || !strings.Contains(r.body, "not known, or not any more") {
			t.Errorf("a code that was answered: %d %s", r.status, r.body)
		}
		refused(t, there.poll(begun.str("device_code")), 400, "invalid_grant")
		if here.accepted(renewed.str("access_token")) {
			t.Error("a device code that was used twice ends nothing")
		}
	})
}

func TestADevicesPollsAreAnswered(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		b := s.atDevicePage(alice, alicePassword)
		t.Run("too soon, and ever later", func(t *testing.T) {
			code := s.device().str("device_code")
			for _, step := range []struct {
				after time.Duration
				want  string
			}{
				{0, "authorization_pending"}, {5 * time.Second, "authorization_pending"}, {time.Second, "slow_down"},
				{6 * time.Second, "slow_down"}, {16 * time.Second, "authorization_pending"}, {16 * time.Second, "authorization_pending"},
			} {
				s.clock.Advance(step.after)
				refused(t, s.poll(code), 400, step.want)
			}
		})
		t.Run("denied", func(t *testing.T) {
			begun := s.device()
			if r := b.answers(begun.str("user_code"), "deny"); r.status != http.StatusOK || !strings.Contains(r.body, "It gets nothing") {
				t.Errorf("%d %s", r.status, r.body)
			}
			for range 2 {
				refused(t, s.poll(begun.str("device_code")), 400, "access_denied")
			}
		})
		t.Run("expired, pending or allowed", func(t *testing.T) {
			pending, allowed := s.device(), s.device()
			b.answers(allowed.str("user_code"), "allow")
			s.clock.Advance(10 * time.Minute)
			refused(t, s.poll(pending.str("device_code")), 400, "expired_token")
			refused(t, s.poll(allowed.str("device_code")), 400, "expired_token")
			if r := b.types(pending.str("user_code")); r.status != http.StatusBadRequest {
				t.Errorf("an expired user code: %d", r.status)
			}
		})
		t.Run("another client's, and none", func(t *testing.T) {
			begun := s.device()
			b.answers(begun.str("user_code"), "allow")
			refused(t, s.poll(begun.str("device_code"), "client_id", "radio"), 400, "invalid_grant")
			refused(t, s.post("/oauth2/token", "box", boxSecret, url.Values{"grant_type": {oauth.GrantDeviceCode}, "device_code": {begun.str("device_code")}}), 400, "invalid_grant")
			refused(t, s.poll("guess"), 400, "invalid_grant")
			refused(t, s.poll(""), 400, "invalid_request")
			refused(t, s.poll(begun.str("user_code")), 400, "invalid_grant")
			if r := s.poll(begun.str("device_code"), "resource", "urn:realguardio:securitysystem"); r.status != http.StatusOK {
				t.Errorf("its own client, after all that: %d %s", r.status, r.body)
			}
		})
		t.Run("for what it asked and no more", func(t *testing.T) {
			begun := s.device("resource", "urn:realguardio:securitysystem")
			b.answers(begun.str("user_code"), "allow")
			refused(t, s.poll(begun.str("device_code"), "resource", "urn:realguardio:customer"), 400, "invalid_target")
			if r := s.poll(begun.str("device_code")); r.status != http.StatusOK {
				t.Errorf("the code was spent by a refusal: %d %s", r.status, r.body)
			}
		})
	})
}

// TestOneOfManyPollsGetsTheTokens polls at two replicas at once. The others are replays, which end what was issued.
func TestOneOfManyPollsGetsTheTokens(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		here := start(t, st).devices()
		there := begin(t, st, "127.0.0.1:0", here.clock, here.logs)
		begun := here.device()
		here.atDevicePage(alice, alicePassword).answers(begun.str("user_code"), "allow")
		var mu sync.Mutex
		var all sync.WaitGroup
		got := map[int]int{}
		accepted := func() bool { return true }
		for i := range 100 {
			all.Go(func() {
				at := []*server{here, there}[i%2]
				r := at.poll(begun.str("device_code"))
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
				if r.status == http.StatusOK {
					accepted = func() bool { return at.accepted(r.str("access_token")) }
				} else if r.str("error") != "invalid_grant" {
					t.Errorf("%d %s", r.status, r.body)
				}
			})
		}
		all.Wait()
		if got[200] != 1 || got[400] != 99 {
			t.Errorf("answers: %v", got)
		}
		if accepted() {
			t.Error("the replay did not end what was issued")
		}
	})
}

// TestADeviceIsAnsweredOnce answers one request in two ways at once, at two replicas.
func TestADeviceIsAnsweredOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		b := s.atDevicePage(alice, alicePassword)
		for range 5 {
			begun := s.device()
			forms := [2]url.Values{}
			for i, decision := range []string{"allow", "deny"} {
				forms[i] = b.types(begun.str("user_code")).form()
				forms[i].Set("decision", decision)
			}
			replies := [2]reply{}
			var both sync.WaitGroup
			for i := range forms {
				both.Go(func() { replies[i] = b.submit("/device/answer", forms[i]) })
			}
			both.Wait()
			if (replies[0].status == http.StatusOK) == (replies[1].status == http.StatusOK) {
				t.Errorf("allow: %d, deny: %d", replies[0].status, replies[1].status)
			}
			if got := s.poll(begun.str("device_code")); (got.status == http.StatusOK) != (replies[0].status == http.StatusOK) {
				t.Errorf("the page said %d, the token endpoint %d", replies[0].status, got.status)
			}
			if again := b.submit("/device/answer", forms[0]); again.status != http.StatusForbidden {
				t.Errorf("the form once more: %d", again.status)
			}
		}
	})
}

func TestTheDevicePageIsBoundToWhoIsSignedIn(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		s.user("mary@acme.example", "mary's password")
		b := s.atDevicePage(alice, alicePassword)
		begun := s.device()
		pending := func(t *testing.T) {
			t.Helper()
			s.clock.Advance(30 * time.Second)
			refused(t, s.poll(begun.str("device_code")), 400, "authorization_pending")
		}
		ask := func() url.Values {
			form := b.types(begun.str("user_code")).form()
			form.Set("decision", "allow")
			return form
		}
		for name, post := range map[string]func() reply{
			"another site's form": func() reply {
				return b.submit("/device/answer", ask(), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
			},
			"another site's code": func() reply {
				return b.submit("/device", url.Values{"user_code": {begun.str("user_code")}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
			},
			"another browser of hers": func() reply { return s.atDevicePage(alice, alicePassword).submit("/device/answer", ask()) },
			"another person": func() reply {
				return s.atDevicePage("mary@acme.example", "mary's password").submit("/device/answer", ask())
			},
			"nobody":             func() reply { return s.browser().submit("/device/answer", ask()) },
			"a made-up id":       func() reply { return b.submit("/device/answer", url.Values{"tx": {"guess"}, "decision": {"allow"}}) },
			"that of a consent":  func() reply { return b.submit("/consent", ask()) },
			"neither yes nor no": func() reply { f := ask(); f.Set("decision", "maybe"); return b.submit("/device/answer", f) },
			"both":               func() reply { f := ask(); f.Add("decision", "deny"); return b.submit("/device/answer", f) },
		} {
			if r := post(); r.status != http.StatusForbidden && r.status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
			pending(t)
		}
		for name, r := range map[string]reply{
			"the code of the link": b.open("/device?user_code=" + begun.str("user_code")),
			"a script":             b.open("/device?user_code=%3Cscript%3E"),
			"the question":         b.types(begun.str("user_code")),
			"a wrong code":         b.types(`"><script>alert(1)</script>`),
		} {
			if r.header.Get("X-Frame-Options") != "DENY" || !strings.Contains(r.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || strings.Contains(r.body, "<script") {
				t.Errorf("%s: %v %s", name, r.header, r.body)
			}
		}
		pending(t)
		form := ask()
		form.Set("scope", "admin")
		form.Set("client_id", "radio")
		b.submit("/device/answer", form)
		if r := s.poll(begun.str("device_code")); r.status != http.StatusOK || r.str("scope") != "openid securitysystem.read" {
			t.Errorf("of the form only the answer counts: %d %s", r.status, r.body)
		}
	})
}

// TestWhatADeviceGotEndsWithItsGrantor: with the person, their session, and the client.
func TestWhatADeviceGotEndsWithItsGrantor(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		allowed := func() (*browser, reply) {
			begun := s.device()
			b := s.atDevicePage(alice, alicePassword)
			b.answers(begun.str("user_code"), "allow")
			return b, begun
		}
		signOut := func(b *browser) {
			form := b.open("/oauth2/logout").form()
			if r := b.submit("/oauth2/logout/confirm", form); r.status != http.StatusOK {
				t.Fatalf("signing out: %d", r.status)
			}
		}
		b, begun := allowed()
		signOut(b)
		refused(t, s.poll(begun.str("device_code")), 400, "invalid_grant")
		b, begun = allowed()
		tokens := s.poll(begun.str("device_code"))
		if !s.accepted(tokens.str("access_token")) {
			t.Fatal(tokens.body)
		}
		signOut(b)
		if s.accepted(tokens.str("access_token")) {
			t.Error("the token outlives the session in which it was allowed")
		}
		_, begun = allowed()
		if _, err := s.db.Exec(t.Context(), `UPDATE users SET disabled = TRUE WHERE email = $1`, alice); err != nil {
			t.Fatal(err)
		}
		refused(t, s.poll(begun.str("device_code")), 400, "invalid_grant")
	})
}

// TestAThirdPartysDeviceIsAConsent: what was allowed can be found, and withdrawn, where everything else can.
func TestAThirdPartysDeviceIsAConsent(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).devices()
		consented := func() (n int64) {
			if err := s.db.QueryRow(t.Context(), `SELECT count(*) FROM consents WHERE client_id = 'box' AND scopes = 'securitysystem.read'`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		b := s.atDevicePage(alice, alicePassword)
		for decision, want := range map[string]int{"deny": 400, "allow": 200} {
			begun := s.post("/oauth2/device_authorization", "box", boxSecret, url.Values{"scope": {"securitysystem.read"}})
			b.answers(begun.str("user_code"), decision)
			if got := consented(); (got == 1) != (decision == "allow") {
				t.Errorf("%s: %d consents", decision, got)
			}
			form := url.Values{"grant_type": {oauth.GrantDeviceCode}, "device_code": {begun.str("device_code")}}
			if r := s.post("/oauth2/token", "box", boxSecret, form); r.status != want {
				t.Errorf("%s: %d %s", decision, r.status, r.body)
			}
			if _, err := s.db.Exec(t.Context(), `DELETE FROM consents`); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTheCodeOfALinkWaitsInTheBrowser is that of somebody who has to sign in first; what is no code does not.
func TestTheCodeOfALinkWaitsInTheBrowser(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		cfg := start(t, st).config()
		cfg.Issuer = "https://id.example.com"
		secure, err := token.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for typed, kept := range map[string]bool{"BCDF-GHJK": true, "bcdfghjk": true, "AEIO-UUUU": false, "BCDF-GHJK-L": false, "": false} {
			w := httptest.NewRecorder()
			secure.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/device?user_code="+typed, nil))
			found := slices.IndexFunc(w.Result().Cookies(), func(c *http.Cookie) bool { return c.Name == "__Host-rgt_user_code" })
			if w.Code != http.StatusSeeOther || (found >= 0) != kept {
				t.Fatalf("%q: %d %v", typed, w.Code, w.Result().Cookies())
			}
			if !kept {
				continue
			}
			if c := w.Result().Cookies()[found]; c.Value != "BCDF-GHJK" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("%v", c)
			}
		}
	})
}
