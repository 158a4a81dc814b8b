package main_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"testing"
)

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// csrfToken gets the anti-CSRF proof of a browser.
func (s *stand) csrfToken(t *testing.T, browser *http.Client) string {
	t.Helper()
	var got struct {
		CSRFToken string `json:"csrfToken"`
	}
	call(t, browser, http.MethodGet, s.Gateway+"/api/auth/csrf", nil).decode(t, &got)
	return got.CSRFToken
}

// signIn walks a browser through the login, by forms and redirects as a person's would, and returns it signed in.
func (s *stand) signIn(t *testing.T, name string) *http.Client {
	t.Helper()
	browser, user := s.browser(t), s.user(t, name)
	begun := post(t, browser, s.Gateway+"/api/auth/signin/realguardio", url.Values{"csrfToken": {s.csrfToken(t, browser)}, "json": {"true"}, "callbackUrl": {"/"}})
	if begun.status != http.StatusOK {
		t.Fatalf("sign-in answered %d\n%s", begun.status, begun.body)
	}
	var to struct{ URL string }
	begun.decode(t, &to)
	page, at := follow(t, browser, to.URL)
	form := url.Values{"username": {user.Username}, "password": {user.Password}}
	for _, field := range hidden.FindAllSubmatch(page.body, -1) {
		form.Set(string(field[1]), string(field[2]))
	}
	login, err := at.Parse("/login")
	if err != nil {
		t.Fatal(err)
	}
	answered := post(t, browser, login.String(), form)
	if answered.status/100 != 3 {
		t.Fatalf("the login page answered %d\n%s", answered.status, answered.body)
	}
	next, err := login.Parse(answered.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	follow(t, browser, next.String())
	var session struct {
		User struct{ Email, Sub string }
	}
	got := call(t, browser, http.MethodGet, s.Gateway+"/api/auth/session", nil)
	if err := json.Unmarshal(got.body, &session); err != nil || session.User.Email != user.Username || session.User.Sub != user.Sub {
		t.Fatalf("signed in as %+v (%v), want %s\n%s", session, err, user.Username, got.body)
	}
	return browser
}
