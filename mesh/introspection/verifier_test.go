package introspection_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"google.golang.org/grpc/peer"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/introspection"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

const good = "an-opaque-token-of-0123456789"

// issuer answers questions about tokens, over HTTP.
type issuer struct {
	url   string
	asked atomic.Int64

	mu     sync.Mutex
	answer http.HandlerFunc
}

func newIssuer(t *testing.T) *issuer {
	iss := &issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"introspection_endpoint":%q}`, iss.url, iss.url+"/introspect")
	})
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		iss.asked.Add(1)
		iss.mu.Lock()
		answer := iss.answer
		iss.mu.Unlock()
		answer(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	iss.url = server.URL
	iss.say(active(iss.url, nil))
	return iss
}

func (iss *issuer) answers(f http.HandlerFunc) {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.answer = f
}

func (iss *issuer) say(body string) {
	iss.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
}

// active is a good answer with these members over it; nil removes one.
func active(url string, over map[string]any) string {
	all := map[string]any{
		"active": true, "token_type": "Bearer", "iss": url, "sub": "42", "client_id": "web", "jti": "t1", "aud": meshtest.Audience,
		"scope": "greet admin", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}
	maps.Copy(all, over)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	raw, _ := json.Marshal(all)
	return string(raw)
}

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func newVerifier(t *testing.T, iss *issuer, over func(*introspection.Config)) *introspection.Verifier {
	t.Helper()
	cfg := introspection.Config{
		Issuer: iss.url, Audiences: []string{meshtest.Audience}, ClientID: "greeter", Secret: "a secret+", Logger: meshtest.Logger(t),
		Claims: claims.Mapping{Namespace: "acme", Scopes: claims.Names{Allow: []string{"greet"}}},
	}
	if over != nil {
		over(&cfg)
	}
	v, err := introspection.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cause is the word for metrics of a refusal, "" for none.
func cause(err error) string {
	var c interface{ Cause() string }
	switch {
	case err == nil:
		return ""
	case errors.Is(err, mesh.ErrCannotVerify):
		return "cannot verify"
	case errors.As(err, &c):
		return c.Cause()
	default:
		return err.Error()
	}
}

func TestAnAnswerIsRememberedForMoments(t *testing.T) {
	iss, time := newIssuer(t), &clock{}
	v := newVerifier(t, iss, func(c *introspection.Config) { c.Now = time.now })
	for _, step := range []struct {
		name    string
		advance func()
		asked   int64
	}{
		{name: "asked", advance: func() {}, asked: 1},
		{name: "remembered", advance: func() { time.advance(9 * second) }, asked: 1},
		{name: "asked again", advance: func() { time.advance(2 * second) }, asked: 2},
	} {
		step.advance()
		id, err := v.Verify(t.Context(), good)
		if err != nil || id.Subject != "acme:42" || id.ClientID != "acme:web" || id.Kind != mesh.KindUser || len(id.Scopes) != 1 || iss.asked.Load() != step.asked {
			t.Errorf("%s: got %+v, %v after %d questions", step.name, id, err, iss.asked.Load())
		}
	}
	if _, known := v.Known(good + "x"); known {
		t.Error("another token is known")
	}
	iss.say(`{"active":false}`)
	time.advance(11 * second)
	for range 2 {
		if _, err := v.Verify(t.Context(), good); cause(err) != "inactive" {
			t.Errorf("once its issuer has ended it: %v", err)
		}
	}
	if asked := iss.asked.Load(); asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	iss.say(active(iss.url, nil))
	time.advance(11 * second)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("a refusal is remembered for too long: %v", err)
	}
	if _, known := v.Known(good); !known {
		t.Error("a good token is not known")
	}
	if got, want := v.Stats(), (introspection.Stats{Hits: 3, Requests: 4, Refused: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

const second = time.Second

func TestNoAnswerOutlivesTheToken(t *testing.T) {
	iss, time := newIssuer(t), &clock{}
	iss.say(active(iss.url, map[string]any{"exp": time.now().Add(3 * second).Unix()}))
	v := newVerifier(t, iss, func(c *introspection.Config) { c.Now, c.Leeway = time.now, 1 })
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	time.advance(4 * second)
	if _, err := v.Verify(t.Context(), good); cause(err) != "expired" {
		t.Errorf("got %v", err)
	}
}

func TestAStreamEndsSoThatItsTokenIsAskedAboutAgain(t *testing.T) {
	iss := newIssuer(t)
	v := newVerifier(t, iss, nil)
	id, err := v.Verify(t.Context(), good)
	if life := time.Until(id.Expiry); err != nil || life > 5*time.Minute || life < 4*time.Minute {
		t.Errorf("lives for %s, %v", life, err)
	}
}

func TestWhatAnAnswerMustSay(t *testing.T) {
	iss := newIssuer(t)
	over := func(over map[string]any) string { return active(iss.url, over) }
	for _, tt := range []struct {
		name, answer, cause string
		configure           func(*introspection.Config)
	}{
		{name: "everything", answer: over(nil)},
		{name: "neither issuer nor id nor time of issue, which are optional", answer: over(map[string]any{"iss": nil, "jti": nil, "iat": nil})},
		{name: "that the token is a bearer token, in any case", answer: over(map[string]any{"token_type": "bearer"})},
		{name: "that the token is bound, and to which key", answer: over(map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": strings.Repeat("A", 43)}})},
		{name: "that the token is bound, and not to which key", answer: over(map[string]any{"token_type": "DPoP"}), cause: "malformed"},
		{name: "not active", answer: `{"active":false}`, cause: "inactive"},
		{name: "active in a string", answer: over(map[string]any{"active": "true"}), cause: "cannot verify"},
		{name: "active as a number", answer: over(map[string]any{"active": 1}), cause: "cannot verify"},
		{name: "nothing", answer: `{}`, cause: "cannot verify"},
		{name: "two things", answer: `{"active":false,"active":true}`, cause: "cannot verify"},
		{name: "a page", answer: `<html>`, cause: "cannot verify"},
		{name: "more than anybody reads", answer: over(map[string]any{"x": strings.Repeat("x", 64<<10)}), cause: "cannot verify"},
		{name: "something deep", answer: over(map[string]any{"x": json.RawMessage(strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000))}), cause: "cannot verify"},
		{name: "another issuer", answer: over(map[string]any{"iss": "https://other"}), cause: "issuer"},
		{name: "another audience", answer: over(map[string]any{"aud": "https://other"}), cause: "audience"},
		{name: "no audience", answer: over(map[string]any{"aud": nil}), cause: "audience"},
		{name: "no expiry", answer: over(map[string]any{"exp": nil}), cause: "malformed"},
		{name: "no expiry, where that is accepted", answer: over(map[string]any{"exp": nil}), configure: func(c *introspection.Config) { c.NoExpiry = true }},
		{name: "an expiry that has passed", answer: over(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), cause: "expired"},
		{name: "a token that is not valid yet", answer: over(map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}), cause: "not_yet"},
		{name: "a refresh token", answer: over(map[string]any{"token_type": "refresh_token"}), cause: "wrong_type"},
		{name: "no type", answer: over(map[string]any{"token_type": nil}), cause: "wrong_type"},
		{name: "no type, but what tells access tokens", answer: over(map[string]any{"token_type": nil, "token_use": "access_token"}), configure: requireUse},
		{name: "no type, and that it is another token", answer: over(map[string]any{"token_type": nil, "token_use": "refresh_token"}), configure: requireUse, cause: "required_claim"},
		{name: "no client", answer: over(map[string]any{"client_id": nil}), cause: "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			iss.say(tt.answer)
			v := newVerifier(t, iss, tt.configure)
			if id, err := v.Verify(t.Context(), good); cause(err) != tt.cause || err != nil && strings.Contains(err.Error(), good) {
				t.Errorf("got %+v, %v; want %q", id, err, tt.cause)
			}
		})
	}
}

func requireUse(c *introspection.Config) {
	c.Claims.Require = []claims.Match{{Claim: claims.Path{"token_use"}, Values: []string{"access_token"}}}
}

func TestWhatCannotBeATokenIsNotAskedAbout(t *testing.T) {
	iss := newIssuer(t)
	v := newVerifier(t, iss, nil)
	for _, token := range []string{"", "short", strings.Repeat("x", 4<<10+1), "a token with spaces in", "token-with-a-line\nbreak", "token-with-\x00-in-it-------", "tökentökentökentöken"} {
		if _, err := v.Verify(t.Context(), token); cause(err) != "malformed" {
			t.Errorf("%q: got %v", token, err)
		}
	}
	if asked := iss.asked.Load(); asked != 0 {
		t.Errorf("asked %d times", asked)
	}
}

func TestManyCallersAskOnce(t *testing.T) {
	iss := newIssuer(t)
	begun, release := make(chan struct{}), make(chan struct{})
	iss.answers(func(w http.ResponseWriter, _ *http.Request) {
		close(begun) // twice would panic
		<-release
		_, _ = w.Write([]byte(active(iss.url, nil)))
	})
	v := newVerifier(t, iss, nil)
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := v.Verify(gone, good); left <- err }()
	<-begun
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if id, err := v.Verify(t.Context(), good); err != nil || id.Subject != "acme:42" {
				t.Errorf("got %v, %v", id, err)
			}
		})
	}
	leave() // the one who began it
	if err := <-left; cause(err) != "cannot verify" {
		t.Errorf("who left: %v", err)
	}
	close(release)
	all.Wait()
}

// TestStrangersHoldNotAllCallsWhileTheIssuerIsSlow asks about more made-up tokens than there may be calls in a server.
func TestStrangersHoldNotAllCallsWhileTheIssuerIsSlow(t *testing.T) {
	iss := newIssuer(t)
	v := newVerifier(t, iss, func(c *introspection.Config) { c.Timeout = time.Minute })
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	answer := sync.OnceFunc(func() { close(release) })
	defer answer()
	iss.answers(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write([]byte(`{"active":false}`))
	})
	ended := make(chan error, 1000)
	for i := range cap(ended) {
		go func() { _, err := v.Verify(t.Context(), fmt.Sprintf("made-up-token-%04d", i)); ended <- err }()
	}
	for range cap(ended) / 2 {
		select {
		case err := <-ended:
			if cause(err) != "cannot verify" {
				t.Errorf("got %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("all of them wait")
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("one that is known: %v", err)
	}
	answer()
	for range cap(ended) / 2 {
		if err := <-ended; cause(err) != "inactive" {
			t.Errorf("who waited: %v", err)
		}
	}
}

// TestAnIssuerThatIsDownLetsNobodyIn: not even on an answer that it gave a moment before its time was over.
func TestAnIssuerThatIsDownLetsNobodyIn(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"an error":                   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"our own refusal":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"a redirect":                 func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"a broken answer":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"no answer at all":           func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"an answer that is not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("active")) },
	} {
		t.Run(name, func(t *testing.T) {
			iss, time := newIssuer(t), &clock{}
			v := newVerifier(t, iss, func(c *introspection.Config) { c.Now, c.Timeout = time.now, 200*1e6 })
			if _, err := v.Verify(t.Context(), good); err != nil || !v.Ready() {
				t.Fatalf("before: %v", err)
			}
			iss.answers(func(w http.ResponseWriter, r *http.Request) { _ = r.ParseForm(); fault(w, r) })
			time.advance(11 * second)
			for range 20 {
				if id, err := v.Verify(t.Context(), good); cause(err) != "cannot verify" {
					t.Fatalf("got %v, %v", id, err)
				}
			}
			if asked := iss.asked.Load(); asked != 4 || v.Ready() {
				t.Errorf("asked %d times, ready is %t", asked, v.Ready())
			}
			iss.say(active(iss.url, nil))
			time.advance(2 * second)
			if _, err := v.Verify(t.Context(), good); err != nil || !v.Ready() {
				t.Errorf("once it is back: %v", err)
			}
			if got, want := v.Stats(), (introspection.Stats{Requests: 5, Failures: 3, TurnedAway: 17}); got != want {
				t.Errorf("counted %+v, want %+v", got, want)
			}
		})
	}
}

func TestAnOddTokenKeepsNobodyElseFromBeingAskedAbout(t *testing.T) {
	iss := newIssuer(t)
	v := newVerifier(t, iss, nil)
	iss.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") != good {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(active(iss.url, nil)))
	})
	for i := range 10 {
		if _, err := v.Verify(t.Context(), fmt.Sprintf("an-odd-token-of-a-stranger-%d", i)); cause(err) != "cannot verify" {
			t.Fatal(err)
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil || !v.Ready() {
		t.Errorf("then: %v", err)
	}
}

func TestStrangersFillNoMemory(t *testing.T) {
	iss := newIssuer(t)
	v := newVerifier(t, iss, func(c *introspection.Config) { c.CacheSize = 8 })
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	iss.say(`{"active":false}`)
	for i := range 100 {
		if _, err := v.Verify(t.Context(), fmt.Sprintf("a-token-of-a-stranger-%d", i)); cause(err) != "inactive" {
			t.Fatal(err)
		}
	}
	if _, known := v.Known(good); !known {
		t.Error("bad tokens have pushed out a good one")
	}
	if size := v.Remembered(); size > 16 {
		t.Errorf("%d are remembered", size)
	}
}

// from is a call of somebody at an address.
func from(t *testing.T, address string) context.Context {
	return peer.NewContext(t.Context(), &peer.Peer{Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))})
}

// TestWhoGuessesTokensIsSoonNotAskedAboutMore: the issuer is spared, and who is known there does not notice, at the same address
// or another.
func TestWhoGuessesTokensIsSoonNotAskedAboutMore(t *testing.T) {
	for name, address := range map[string]struct{ guesser, neighbour, other string }{
		"IPv4": {"192.0.2.1:1000", "192.0.2.1:2000", "192.0.2.2:1000"},
		"IPv6": {"[2001:db8::1]:1000", "[2001:db8::2]:1000", "[2001:db8:0:1::1]:1000"},
	} {
		t.Run(name, func(t *testing.T) {
			iss, clock := newIssuer(t), &clock{}
			v := newVerifier(t, iss, func(c *introspection.Config) { c.Now = clock.now })
			if _, err := v.Verify(from(t, address.neighbour), good); err != nil {
				t.Fatal(err)
			}
			iss.answers(func(w http.ResponseWriter, r *http.Request) {
				body := `{"active":false}`
				if r.PostFormValue("token") == good || strings.HasPrefix(r.PostFormValue("token"), "new-and-good") {
					body = active(iss.url, nil)
				}
				_, _ = w.Write([]byte(body))
			})
			before := iss.asked.Load()
			guess := func(i int) string {
				_, err := v.Verify(from(t, address.guesser), fmt.Sprintf("a-token-of-a-stranger-%d", i))
				return cause(err)
			}
			for i := range 1000 {
				if got := guess(i); got != "inactive" && got != "cannot verify" {
					t.Fatal(got)
				}
			}
			if n := iss.asked.Load() - before; n < 100 || n > 150 {
				t.Errorf("the issuer was asked %d times about 1000 guesses", n)
			} else if got := v.Stats(); int64(got.Guessed) != 1000-int64(n) || got.TurnedAway != 0 {
				t.Errorf("the issuer was asked %d times about 1000 guesses, and counted were %+v", n, got)
			}
			if _, err := v.Verify(from(t, address.neighbour), good); err != nil {
				t.Errorf("a token that is remembered: %v", err)
			}
			if _, err := v.Verify(from(t, address.other), "new-and-good-of-another"); err != nil {
				t.Errorf("a good token from another address: %v", err)
			}
			clock.advance(11 * time.Second) // what is remembered has expired; 110 more may be asked about
			for i := range 1000 {
				guess(1000 + i)
			}
			if _, err := v.Verify(from(t, address.neighbour), good); err != nil {
				t.Errorf("a token that was good before: %v", err)
			}
			if _, err := v.Verify(from(t, address.neighbour), "new-and-good-here"); cause(err) != "cannot verify" {
				t.Errorf("a token that nobody has seen, from where it is guessed: %v", err)
			}
			clock.advance(time.Second)
			if _, err := v.Verify(from(t, address.neighbour), "new-and-good-here"); err != nil {
				t.Errorf("a moment later: %v", err)
			}
		})
	}
}

func TestThisPartProvesItself(t *testing.T) {
	iss := newIssuer(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		configure func(*introspection.Config)
		proven    func(*http.Request) error
	}{
		{name: "by its secret", proven: func(r *http.Request) error {
			if id, secret, ok := r.BasicAuth(); !ok || id != "greeter" || secret != "a+secret%2B" {
				return fmt.Errorf("got %q, %q", id, secret)
			}
			return nil
		}},
		{name: "by its key", configure: func(c *introspection.Config) { c.Secret, c.Key, c.KeyID = "", key, "k1" }, proven: func(r *http.Request) error {
			token, err := jwt.ParseString(r.PostForm.Get("client_assertion"), jwt.WithKey(jwa.ES256, key.Public()), jwt.WithAudience(iss.url), jwt.WithIssuer("greeter"), jwt.WithSubject("greeter"))
			if err == nil && (token.JwtID() == "" || time.Until(token.Expiration()) > time.Minute || r.PostForm.Get("client_id") != "greeter" || r.Header.Get("Authorization") != "") {
				err = errors.New("the assertion is not complete")
			}
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var proven error
			iss.answers(func(w http.ResponseWriter, r *http.Request) {
				proven = errors.Join(r.ParseForm(), tt.proven(r))
				if r.PostForm.Get("token") != good || r.URL.RawQuery != "" {
					proven = errors.New("the token is not in the form alone")
				}
				_, _ = w.Write([]byte(active(iss.url, nil)))
			})
			var logged strings.Builder
			v := newVerifier(t, iss, func(c *introspection.Config) {
				c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
				if tt.configure != nil {
					tt.configure(c)
				}
			})
			if _, err := v.Verify(t.Context(), good); err != nil || proven != nil {
				t.Errorf("got %v; %v", err, proven)
			}
		})
	}
}

func TestAConfigurationThatLacksSomething(t *testing.T) {
	for want, change := range map[string]func(*introspection.Config){
		"Issuer is missing":    func(c *introspection.Config) { c.Issuer = "" },
		"Audiences is missing": func(c *introspection.Config) { c.Audiences = nil },
		"ClientID is missing":  func(c *introspection.Config) { c.ClientID = "" },
		"Secret or Key":        func(c *introspection.Config) { c.Secret = "" },
		"negative":             func(c *introspection.Config) { c.TTL = -1 },
		"namespace":            func(c *introspection.Config) { c.Claims.Namespace = "A" },
	} {
		cfg := introspection.Config{Issuer: "https://id.example", Audiences: []string{"a"}, ClientID: "greeter", Secret: "s"}
		change(&cfg)
		if _, err := introspection.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
