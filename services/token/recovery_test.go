package token_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/mail/mailtest"
	"github.com/realguardio/realguardio/services/token"
)

const chosen = "moss tuba eight lamp"

func TestWhoForgotTheirPasswordChoosesAnother(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		elsewhere := d.browser()
		before := elsewhere.redeem()
		b := d.browser()
		login := b.open(b.open(asks("web", webCallback)).location(t).RequestURI())
		if !strings.Contains(login.body, `href="/forgot?client_id=web"`) {
			t.Errorf("the login page does not lead there: %s", login.body)
		}
		if page := b.forgot(strings.ToUpper(alice)); page.status != 200 || !strings.Contains(page.body, "Look at your mail") {
			t.Fatalf("%d %s", page.status, page.body)
		}
		letter := d.letter(alice, 1)
		path, secret := d.link(letter)
		if letter.Subject() != "Choose a new password" || !strings.HasPrefix(path, "/password?") {
			t.Errorf("%q, %s", letter.Subject(), path)
		}
		page := b.open(path)
		for _, want := range []string{alice, `autocomplete="new-password"`, `autocomplete="username"`, `aria-describedby="password-hint"`, `name="repeat"`} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		if got := page.header.Get("Referrer-Policy"); got != "strict-origin" { // with none, the form would be of origin "null"
			t.Errorf("Referrer-Policy %q", got)
		}
		t.Run("a password that is no good is refused in words at its field, and the link stays good", func(t *testing.T) {
			for name, tt := range map[string]struct{ password, repeat, problem, says string }{
				"short":         {"moss tuba", "moss tuba", "password-problem", "at least 15"},
				"common":        {"passwordpassword", "passwordpassword", "password-problem", "most common"},
				"one's own":     {"acme example alice", "acme example alice", "password-problem", "your name"},
				"not the same":  {chosen, chosen + "x", "repeat-problem", "not what you entered"},
				"none at all":   {"", "", "password-problem", "at least 15"},
				"over the edge": {strings.Repeat("moss tuba eight ", 70), strings.Repeat("moss tuba eight ", 70), "password-problem", "longer"},
			} {
				form := page.form()
				form.Set("password", tt.password)
				form.Set("repeat", tt.repeat)
				again := b.submit("/password", form)
				if again.status != 400 || !strings.Contains(again.body, `id="`+tt.problem+`" role="alert">`) || !strings.Contains(again.body, tt.says) ||
					!strings.Contains(again.body, `aria-invalid="true"`) || tt.password != "" && strings.Contains(again.body, `value="`+tt.password) {
					t.Errorf("%s: %d %s", name, again.status, again.body)
				}
			}
			if !elsewhere.signedIn() || !d.accepted(before.str("access_token")) {
				t.Error("something ended")
			}
		})
		done := b.choose(path, chosen)
		if done.status != 200 || !strings.Contains(done.body, "Your password is saved") || !strings.Contains(done.body, `href="https://app.example.com/"`) {
			t.Fatalf("%d %s", done.status, done.body)
		}
		if elsewhere.signedIn() || d.accepted(before.str("access_token")) {
			t.Error("who was signed in with the old password still is")
		}
		refused(t, d.refresh(before.str("refresh_token")), 400, "invalid_grant")
		if page := d.browser().login(asks("web", webCallback), alice, alicePassword); page.status != http.StatusForbidden {
			t.Errorf("the old password: %d", page.status)
		}
		if page := d.browser().login(asks("web", webCallback), alice, chosen); page.status != http.StatusSeeOther {
			t.Errorf("the new password: %d %s", page.status, page.body)
		}
		if notice := d.letter(alice, 2); notice.Subject() != "Your password was changed" || linkForm.MatchString(notice.Text) {
			t.Errorf("notice: %s", notice.Text)
		}
		t.Run("the link is over", func(t *testing.T) {
			form := url.Values{"link": {secret}, "password": {"another tuba eight lamp"}, "repeat": {"another tuba eight lamp"}}
			for name, page := range map[string]reply{"opened": b.open(path), "sent again": b.submit("/password", form)} {
				if page.status != 400 || !strings.Contains(page.body, "This link is over") || !strings.Contains(page.body, `href="/forgot"`) {
					t.Errorf("%s: %d %s", name, page.status, page.body)
				}
			}
			if page := d.browser().login(asks("web", webCallback), alice, chosen); page.status != http.StatusSeeOther {
				t.Errorf("the password has changed: %d", page.status)
			}
		})
	})
}

// TestALinkInTheBrowserOfSomebodyElse: whose session the browser loses is not left with one that nobody can end there.
func TestALinkInTheBrowserOfSomebodyElse(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		d.user("bob@foo.example", "bob's own passphrase")
		b := d.browser()
		access := b.tokensBy(b.login(asks("web", webCallback), "bob@foo.example", "bob's own passphrase")).str("access_token")
		d.browser().forgot(alice)
		path, _ := d.link(d.letter(alice, 1))
		if page := b.choose(path, chosen); page.status != 200 {
			t.Fatalf("%d %s", page.status, page.body)
		}
		if b.signedIn() || d.accepted(access) {
			t.Error("bob is signed in still")
		}
	})
}

// TestASignInThatHasEndedLeadsHome: people keep the address of the sign-in page, which leads nowhere by itself.
func TestASignInThatHasEndedLeadsHome(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		for at, leads := range map[string]bool{"/login": true, "/login?tx=x": true, "/login?tx=x&client_id=web": true, "/login?tx=x&client_id=partner": false} {
			page := d.browser().open(at)
			if page.status != http.StatusForbidden || strings.Contains(page.body, `href="https://app.example.com/"`) != leads {
				t.Errorf("%s: %d %s", at, page.status, page.body)
			}
		}
	})
}

func TestWhatEndsALinkForAPassword(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		a := d.boss()
		id := d.user(alice, alicePassword)
		asked := 0
		ask := func(t *testing.T) string {
			t.Helper()
			if err := d.redis.FlushAll(t.Context()).Err(); err != nil { // this is not about limits
				t.Fatal(err)
			}
			asked++
			d.browser().forgot(alice)
			path, _ := d.link(d.nthReset(asked))
			return path
		}
		over := func(t *testing.T, path string) {
			t.Helper()
			if page := d.browser().choose(path, "an unlucky password"); page.status != 400 || !strings.Contains(page.body, "This link is over") {
				t.Errorf("%d %s", page.status, page.body)
			}
		}
		t.Run("time", func(t *testing.T) {
			path := ask(t)
			d.clock.Advance(31 * time.Minute)
			over(t, path)
			meshtest.Await(t, "the revocation feed is heard again", func() bool { return !a.set.Stale() })
		})
		t.Run("a newer one", func(t *testing.T) {
			first := ask(t)
			second := ask(t)
			over(t, first)
			if page := d.browser().open(second); page.status != 200 {
				t.Errorf("the newer one: %d", page.status)
			}
		})
		t.Run("a password that was changed meanwhile", func(t *testing.T) {
			path := ask(t)
			a.changePassword(t, alicePassword, chosen)
			over(t, path)
		})
		t.Run("an address that was changed meanwhile", func(t *testing.T) {
			path := ask(t)
			for _, email := range []string{"alice@elsewhere.example", alice} {
				a.moves(t, id, email)
			}
			over(t, path)
		})
		t.Run("an account that was disabled, even after it is enabled again", func(t *testing.T) {
			path := ask(t)
			a.disable(t, id)
			over(t, path)
			a.enable(t, id)
			over(t, path)
		})
		t.Run("what is no link at all", func(t *testing.T) {
			for _, secret := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 5000), "%00", "'%20OR%201=1"} {
				if page := d.browser().open("/password?link=" + secret); page.status != 400 {
					t.Errorf("%q: %d", secret, page.status)
				}
			}
		})
		t.Run("another purpose", func(t *testing.T) {
			path := ask(t)
			if page := d.browser().open(strings.Replace(path, "/password", "/verify", 1)); page.status != 400 {
				t.Errorf("a link for a password confirms an address: %d", page.status)
			}
		})
		if page := d.browser().login(asks("web", webCallback), alice, chosen); page.status != http.StatusSeeOther {
			t.Errorf("the password is another one: %d", page.status)
		}
	})
}

// nthReset waits for the nth link to another password.
func (d *desk) nthReset(n int) mailtest.Letter {
	d.t.Helper()
	var resets []mailtest.Letter
	meshtest.Await(d.t, fmt.Sprintf("link %d", n), func() bool {
		resets = resets[:0]
		for _, l := range d.office.Taken() {
			if l.Subject() == "Choose a new password" {
				resets = append(resets, l)
			}
		}
		return len(resets) >= n
	})
	return resets[n-1]
}

func TestALinkIsUsedOnceByHoweverMany(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		d.browser().forgot(alice)
		path, secret := d.link(d.letter(alice, 1))
		for range 5 { // programs that look at what is in a mail
			d.get(path)
			plain, err := http.Head(d.url + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = plain.Body.Close()
		}
		var mu sync.Mutex
		statuses := map[int]int{}
		admitted := ""
		var all sync.WaitGroup
		for i := range 12 {
			b := d.browser()
			mine := chosen + strings.Repeat("!", i)
			all.Go(func() {
				r := b.submit("/password", url.Values{"link": {secret}, "password": {mine}, "repeat": {mine}})
				mu.Lock()
				defer mu.Unlock()
				if statuses[r.status]++; r.status == 200 {
					admitted = mine
				}
			})
		}
		all.Wait()
		if statuses[200] != 1 || statuses[400] != 11 {
			t.Errorf("%v", statuses)
		}
		if page := d.browser().login(asks("web", webCallback), alice, admitted); page.status != http.StatusSeeOther {
			t.Errorf("the one that succeeded signs nobody in: %d", page.status)
		}
	})
}

func TestAFormForAPasswordIsTakenFromOurPagesOnly(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		d.browser().forgot(alice)
		path, secret := d.link(d.letter(alice, 1))
		d.settled()
		form := url.Values{"link": {secret}, "password": {chosen}, "repeat": {chosen}, "username": {alice}}
		for _, at := range []string{"/password", "/verify", "/forgot"} {
			if r := d.browser().submit(at, form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); r.status != http.StatusForbidden {
				t.Errorf("%s: %d", at, r.status)
			}
		}
		if d.browser().open(path).status != 200 || d.count(`SELECT count(*) FROM letters`) != 0 {
			t.Error("something was done")
		}
		for _, at := range []string{"/forgot", path, "/password?link=x", "/verify?link=x"} {
			page := d.browser().open(at)
			if page.header.Get("X-Frame-Options") != "DENY" || !strings.Contains(page.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
				page.header.Get("Cache-Control") != "no-store" || strings.Contains(page.body, "<script") || strings.Contains(page.body, "style=") {
				t.Errorf("%s: %v", at, page.header)
			}
		}
		if page := d.browser().forgot("<script>@evil"); page.status != 200 || strings.Contains(page.body, "<script>") {
			t.Errorf("%d %s", page.status, page.body)
		}
		for _, bad := range []string{"", "nobody", "@", "a@", "@b", "a b@c.example", strings.Repeat("a", 260) + "@c.example", "<b>"} {
			if page := d.browser().forgot(bad); page.status != 400 || !strings.Contains(page.body, `id="username-problem"`) || strings.Contains(page.body, "<b>") {
				t.Errorf("%q: %d", bad, page.status)
			}
		}
	})
}

func TestALetterSurvivesTheProcessAndTheMailServer(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		post := listener.Addr().String()
		if err := listener.Close(); err != nil { // nobody is there yet
			t.Fatal(err)
		}
		s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, mailing(post))
		s.seed()
		if page := s.browser().forgot(alice); page.status != 200 {
			t.Fatalf("%d %s", page.status, page.body)
		}
		meshtest.Await(t, "somebody tries", func() bool {
			return s.count(`SELECT count(*) FROM letters WHERE kind = 'reset' AND attempts > 0 AND failure <> ''`) > 0
		})
		s.stop()
		if listener, err = net.Listen("tcp", post); err != nil {
			t.Fatal(err)
		}
		d := &desk{begin(t, st, "127.0.0.1:0", s.clock, s.logs, mailing(post)), mailtest.NewAt(t, listener)}
		d.clock.Advance(20 * time.Second)
		path, _ := d.link(d.letter(alice, 1))
		if page := d.browser().choose(path, chosen); page.status != 200 {
			t.Errorf("%d %s", page.status, page.body)
		}
	})
}

func TestNothingThatIsStoredOpensALink(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		d.browser().forgot(alice)
		_, secret := d.link(d.letter(alice, 1))
		var hash, nonce string
		if err := d.db.QueryRow(t.Context(), `SELECT hash, nonce FROM tickets`).Scan(&hash, &nonce); err != nil {
			t.Fatal(err)
		}
		for _, stored := range []string{hash, nonce} {
			if strings.Contains(stored, secret) || d.browser().open("/password?link="+stored).status != 400 {
				t.Errorf("%s opens it", stored)
			}
		}
	})
}

func TestWithoutAMailServerNobodyIsPromisedALink(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		if page := b.open(b.open(asks("web", webCallback)).location(t).RequestURI()); strings.Contains(page.body, "/forgot") {
			t.Error("the login page leads nowhere")
		}
		if page := b.open("/forgot"); page.status != 404 || !strings.Contains(page.body, "No mail is sent here") {
			t.Errorf("%d %s", page.status, page.body)
		}
		if page := b.submit("/forgot", url.Values{"username": {alice}}); page.status != 404 || s.count(`SELECT count(*) FROM letters`) != 0 {
			t.Errorf("%d %s", page.status, page.body)
		}
		link, _, err := s.PasswordLink(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		if page := b.choose(strings.TrimPrefix(link, s.url), chosen); page.status != 200 {
			t.Errorf("an operator's link: %d %s", page.status, page.body)
		}
		if _, _, err := s.PasswordLink(t.Context(), "nobody@acme.example"); !errors.Is(err, token.ErrNoAccount) {
			t.Errorf("nobody's link: %v", err)
		}
	})
}
