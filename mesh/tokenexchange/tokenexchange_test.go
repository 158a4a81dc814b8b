package tokenexchange_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/tokenexchange"
)

const secret = "s%c:r+t &"

func TestATokenIsExchangedAtAnIssuer(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	iss.AddClient("customer", secret)
	x, err := tokenexchange.New(tokenexchange.Config{TokenURL: iss.URL + "/oauth2/token", ClientID: "customer", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	subject := iss.Token(t, meshtest.Claims{Subject: "u-alice", Scopes: []string{"a.read", "a.write"}})
	got, err := x.Exchange(t.Context(), mesh.ExchangeRequest{SubjectToken: subject, Audience: "urn:realguardio:echo", Scopes: []string{"a.read"}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := iss.Verifier(t, "echo").Verify(t.Context(), got.Token)
	if err != nil || id.Subject != "u-alice" || !cmp.Equal(id.Actors, []string{"customer"}) || !cmp.Equal(id.Scopes, []string{"a.read"}) || !cmp.Equal(id.Audience, []string{"urn:realguardio:echo"}) {
		t.Errorf("%+v, %v", id, err)
	}
	if left := time.Until(got.Expiry); left < time.Minute || left > 5*time.Minute {
		t.Errorf("it lives %v", left)
	}
	for name, tc := range map[string]struct {
		req  mesh.ExchangeRequest
		want error
	}{
		"a token of others":           {mesh.ExchangeRequest{SubjectToken: meshtest.NewIssuer(t).Token(t, meshtest.Claims{})}, mesh.ErrSubjectToken},
		"a scope that it has not":     {mesh.ExchangeRequest{SubjectToken: subject, Scopes: []string{"admin"}}, mesh.ErrNoScope},
		"a binding that is not known": {mesh.ExchangeRequest{SubjectToken: subject, Certificate: &tls.Certificate{}}, nil},
	} {
		_, err := x.Exchange(t.Context(), tc.req)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || strings.Contains(err.Error(), subject) {
			t.Errorf("%s: %v", name, err)
		}
	}
	iss.SetDown(true)
	if _, err := x.Exchange(t.Context(), mesh.ExchangeRequest{SubjectToken: subject}); err == nil || errors.Is(err, mesh.ErrSubjectToken) {
		t.Errorf("an issuer that is down: %v", err)
	}
}

func TestTheRequestIsThatOfRFC8693(t *testing.T) {
	var form url.Values
	var id, password string
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm
		id, password, _ = r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"bearer","expires_in":60}`)
	}))
	defer issuer.Close()
	now := time.Unix(1_700_000_000, 0)
	x, err := tokenexchange.New(tokenexchange.Config{TokenURL: issuer.URL, ClientID: "a b", Secret: secret, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Exchange(t.Context(), mesh.ExchangeRequest{SubjectToken: "subject", Audience: "aud", Scopes: []string{"x", "y"}})
	if err != nil || got != (mesh.Exchanged{Token: "t", Expiry: now.Add(time.Minute)}) {
		t.Errorf("%v, %v", got, err)
	}
	want := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"subject"}, "audience": {"aud"}, "scope": {"x y"},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:access_token"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
	if diff := cmp.Diff(want, form); diff != "" || id != url.QueryEscape("a b") || password != url.QueryEscape(secret) {
		t.Errorf("%s\n%q %q", diff, id, password)
	}
}

func TestAnAnswerThatIsNotExactlyATokenIsRefused(t *testing.T) {
	const good = `{"access_token":"SECRET","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":60}`
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, tc := range []struct {
		name, body, kind string
		status           int
		want             error
	}{
		{name: "no token", body: change("SECRET", "")},
		{name: "a token with a line break", body: change("SECRET", `a\r\nb: c`)},
		{name: "a token that is too long", body: change("SECRET", strings.Repeat("a", 9000))},
		{name: "a refresh token", body: change("token-type:access_token", "token-type:refresh_token")},
		{name: "no type", body: change(`"issued_token_type":"urn:ietf:params:oauth:token-type:access_token",`, "")},
		{name: "a token that needs a proof", body: change("Bearer", "DPoP")},
		{name: "a token that is none to send", body: change("Bearer", "N_A")},
		{name: "no life", body: change(`,"expires_in":60`, "")},
		{name: "a life that is over", body: change("60", "-1")},
		{name: "a life that is no number", body: change("60", `"60"`)},
		{name: "no JSON", body: "SECRET"},
		{name: "HTML", body: good, kind: "text/html"},
		{name: "too much", body: change("{", `{"x":"`+strings.Repeat("a", 70_000)+`",`)},
		{name: "a redirect", status: http.StatusTemporaryRedirect, body: good},
		{name: "a refusal of the token", status: 400, body: `{"error":"invalid_request","error_description":"SECRET"}`, want: mesh.ErrSubjectToken},
		{name: "a refusal of the grant", status: 400, body: `{"error":"invalid_grant"}`, want: mesh.ErrSubjectToken},
		{name: "a refusal of the scopes", status: 400, body: `{"error":"invalid_scope"}`, want: mesh.ErrNoScope},
		{name: "a refusal of the audience", status: 400, body: `{"error":"invalid_target"}`},
		{name: "a refusal of the client", status: 401, body: `{"error":"invalid_client"}`},
		{name: "an error that echoes", status: 400, body: `{"error":"SECRET"}`},
		{name: "an error of the issuer", status: 500, body: `SECRET`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			followed := false
			issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				followed = followed || r.URL.Path != "/token"
				if tc.kind == "" {
					tc.kind = "application/json"
				}
				w.Header().Set("Content-Type", tc.kind)
				if tc.status == http.StatusTemporaryRedirect {
					w.Header().Set("Location", "/elsewhere")
				}
				w.WriteHeader(max(tc.status, http.StatusOK))
				_, _ = io.WriteString(w, tc.body)
			}))
			defer issuer.Close()
			x, err := tokenexchange.New(tokenexchange.Config{TokenURL: issuer.URL + "/token", ClientID: "a", Secret: "HUSH"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Exchange(t.Context(), mesh.ExchangeRequest{SubjectToken: "SUBJECT"})
			if err == nil || got != (mesh.Exchanged{}) || followed {
				t.Fatalf("got %v, %v, followed %v", got, err, followed)
			}
			if errors.Is(err, mesh.ErrSubjectToken) != (tc.want == mesh.ErrSubjectToken) || errors.Is(err, mesh.ErrNoScope) != (tc.want == mesh.ErrNoScope) {
				t.Errorf("got %v", err)
			}
			for _, hidden := range []string{"SECRET", "SUBJECT", "HUSH"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error tells %s: %v", hidden, err)
				}
			}
		})
	}
}

func TestSecretsAreSentOverTLSAlone(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://id.example.com/token": true, "http://localhost:9000/token": true, "http://[::1]:9000/token": true,
		"http://id.example.com/token": false, "ftp://localhost/token": false, "token": false, "": false, "http://localhost.example.com/": false,
	} {
		_, err := tokenexchange.New(tokenexchange.Config{TokenURL: url, ClientID: "a", Secret: "b"})
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, cfg := range []tokenexchange.Config{{TokenURL: "https://x", Secret: "b"}, {TokenURL: "https://x", ClientID: "a"}} {
		if _, err := tokenexchange.New(cfg); err == nil {
			t.Errorf("%s was made", cfg.ClientID)
		}
	}
}
