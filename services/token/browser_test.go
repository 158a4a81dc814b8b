package token_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// reply is an HTTP answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (r reply) str(name string) string { v, _ := r.json[name].(string); return v }

// location is where it redirects to.
func (r reply) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.header.Get("Location") == "" {
		t.Fatalf("status %d without a Location: %s", r.status, r.body)
	}
	return u
}

func (s *server) do(client *http.Client, r *http.Request) reply {
	s.t.Helper()
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	out := reply{status: response.StatusCode, header: response.Header, body: string(body)}
	_ = json.Unmarshal(body, &out.json)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		s.logs.secret(out.str(name))
	}
	return out
}

// post posts a form with client authentication by Basic; without a client if client is empty.
func (s *server) post(path, client, secret string, form url.Values) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	return s.do(plain, r)
}

func (s *server) get(path string, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return s.do(plain, r)
}

// browser keeps cookies and follows no redirect by itself.
type browser struct {
	*server
	client *http.Client
}

func (s *server) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, CheckRedirect: plain.CheckRedirect}}
}

func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.url)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return b.logs.secret(c.Value)
		}
	}
	return ""
}

func (b *browser) open(path string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "none")
	return b.do(b.client, r)
}

// submit posts a form as a page of ours would.
func (b *browser) submit(path string, form url.Values, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", b.url)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(b.client, r)
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asks is the path and query of an authorization request, changed by pairs of name and value ("" removes).
func asks(client, redirect string, changes ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "scope": {"openid profile email securitysystem.read"},
		"state": {"the-state"}, "nonce": {"the-nonce"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if q.Del(changes[i]); changes[i+1] != "" {
			q.Set(changes[i], changes[i+1])
		}
	}
	return "/oauth2/authorize?" + q.Encode()
}

// answerIn is what a client is told in a redirect: in the query, or the fragment.
func answerIn(to *url.URL) url.Values {
	if to.Fragment == "" {
		return to.Query()
	}
	values, _ := url.ParseQuery(to.EscapedFragment())
	return values
}

// form returns the hidden fields of a page.
func (r reply) form() url.Values {
	out := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(r.body, -1) {
		out.Set(m[1], m[2])
	}
	return out
}

// signIn goes through the login page that an authorization request leads to, and back to the authorization endpoint. It
// returns what that answers, or the login page where it lets nobody in.
func (b *browser) signIn(request, username, secret string) reply {
	b.t.Helper()
	answer := b.login(request, username, secret)
	if answer.status != http.StatusSeeOther {
		return answer
	}
	to := answer.location(b.t)
	if to.Path != "/oauth2/authorize" || to.Host != "" {
		b.t.Fatalf("sent to %s instead of back to the authorization endpoint", to)
	}
	return b.open(to.RequestURI())
}

// login goes through the login page that an authorization request leads to and returns the answer to the form.
func (b *browser) login(request, username, secret string) reply {
	b.t.Helper()
	to := b.open(request).location(b.t)
	if to.Path != "/login" {
		b.t.Fatalf("sent to %s instead of the login page", to)
	}
	page := b.open(to.RequestURI())
	if page.status != http.StatusOK {
		b.t.Fatalf("login page: %d %s", page.status, page.body)
	}
	form := page.form()
	form.Set("username", username)
	form.Set("password", secret)
	return b.submit("/login", form)
}

// code signs alice in and returns the code.
func (b *browser) code(request string) string {
	b.t.Helper()
	to := b.signIn(request, alice, alicePassword).location(b.t)
	code := to.Query().Get("code")
	if code == "" {
		b.t.Fatalf("no code in %s", to)
	}
	return b.logs.secret(code)
}

func refused(t *testing.T, r reply, status int, code string) {
	t.Helper()
	if r.status != status || r.str("error") != code {
		t.Errorf("got %d %s, want %d %s: %s", r.status, r.str("error"), status, code, r.body)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", r.header.Get("Cache-Control"))
	}
}
