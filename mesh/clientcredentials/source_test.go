package clientcredentials_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/clientcredentials"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// A secret with every character that client_secret_basic must escape.
const secret = "s:e%c r+e&t"

func newSource(t *testing.T, iss *meshtest.Issuer, c *clock) *clientcredentials.Source {
	t.Helper()
	iss.AddClient("customer", secret)
	s, err := clientcredentials.New(clientcredentials.Config{
		TokenURL: iss.URL + "/oauth2/token", ClientID: "customer", Secret: secret, Logger: meshtest.Logger(t), Now: c.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func token(t *testing.T, s *clientcredentials.Source) string {
	t.Helper()
	got, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestATokenIsOneThatTheMeshAccepts(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v, err := jwt.New(t.Context(), jwt.Config{Issuer: iss.URL, Audiences: []string{meshtest.Audience}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(t.Context(), token(t, newSource(t, iss, &clock{})))
	if err != nil || id.String() != "workload customer" {
		t.Errorf("got %v, %v", id, err)
	}
}

func TestOneTokenServesEveryCall(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	s := newSource(t, iss, &clock{})
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			for range 10 {
				if _, err := s.Token(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	if iss.Issued() != 1 {
		t.Errorf("%d tokens were asked for", iss.Issued())
	}
}

func TestATokenIsRenewedBeforeItExpires(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	s := newSource(t, iss, c)
	first := token(t, s)
	c.advance(3 * time.Minute)
	if token(t, s) != first {
		t.Error("renewed too early")
	}
	c.advance(30 * time.Second)
	meshtest.Await(t, "a new one", func() bool { return token(t, s) != first })
	if iss.Issued() != 2 {
		t.Errorf("%d tokens were asked for", iss.Issued())
	}
}

func TestAnIssuerThatIsDownDoesNotTakeTheTokenAway(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	s := newSource(t, iss, c)
	first := token(t, s)
	iss.SetDown(true)
	c.advance(4*time.Minute + 50*time.Second)
	if got := token(t, s); got != first {
		t.Error("another token")
	}
	c.advance(6 * time.Second)
	if got, err := s.Token(t.Context()); err == nil {
		t.Errorf("a token that expires on its way: %v", got)
	}
	iss.SetDown(false)
	meshtest.Await(t, "a new one", func() bool {
		c.advance(time.Second)
		got, err := s.Token(t.Context())
		return err == nil && got != first
	})
}

func TestARefusedTokenIsReplacedButNotForEveryCall(t *testing.T) {
	iss, c := meshtest.NewIssuer(t), &clock{}
	s := newSource(t, iss, c)
	first := token(t, s)
	s.Refused(first)
	if token(t, s) != first {
		t.Error("replaced at once: peers in trouble become the issuer's trouble")
	}
	c.advance(6 * time.Second)
	s.Refused("another")
	if token(t, s) != first {
		t.Error("replaced because of another")
	}
	s.Refused(first)
	if token(t, s) == first {
		t.Error("not replaced")
	}
}

func TestAnErrorHoldsNoSecret(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	iss.AddClient("customer", "right")
	s, err := clientcredentials.New(clientcredentials.Config{TokenURL: iss.URL + "/oauth2/token", ClientID: "customer", Secret: "wr0ng-secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Token(t.Context())
	if err == nil || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), "refuses the client or its secret (401 Unauthorized invalid_client)") {
		t.Errorf("got %v", err)
	}
}

func TestASecretIsNotSentAfterARedirect(t *testing.T) {
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the secret was sent on") }))
	defer evil.Close()
	issuer := httptest.NewServer(http.RedirectHandler(evil.URL, http.StatusTemporaryRedirect))
	defer issuer.Close()
	s, err := clientcredentials.New(clientcredentials.Config{TokenURL: issuer.URL, ClientID: "customer", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); err == nil {
		t.Error("a token out of a redirect")
	}
}

func TestAWaitingCallerMayGo(t *testing.T) {
	gate := make(chan struct{})
	issuer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gate }))
	defer issuer.Close()
	defer close(gate)
	s, err := clientcredentials.New(clientcredentials.Config{TokenURL: issuer.URL, ClientID: "customer", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Token(ctx); err == nil {
		t.Error("no error")
	}
}

func TestAConfigurationThatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  clientcredentials.Config
		want string
	}{
		{name: "no endpoint", cfg: clientcredentials.Config{ClientID: "a", Secret: "b"}, want: "TokenURL is missing"},
		{name: "no client", cfg: clientcredentials.Config{TokenURL: "https://iss/token", Secret: "b"}, want: "ClientID is missing"},
		{name: "no secret", cfg: clientcredentials.Config{TokenURL: "https://iss/token", ClientID: "a"}, want: "Secret of a is missing"},
		{name: "plaintext", cfg: clientcredentials.Config{TokenURL: "http://iss/token", ClientID: "a", Secret: "b"}, want: "not https"},
		{name: "plaintext to a name that looks local", cfg: clientcredentials.Config{TokenURL: "http://localhost.evil/token", ClientID: "a", Secret: "b"}, want: "not https"},
		{name: "another scheme", cfg: clientcredentials.Config{TokenURL: "file:///token", ClientID: "a", Secret: "b"}, want: "not https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := clientcredentials.New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
