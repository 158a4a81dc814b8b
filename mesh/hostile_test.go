package mesh_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// nobody is a service whose handlers must not run.
func nobody(t *testing.T) *echo {
	return &echo{
		unary:  func(context.Context, note) (note, error) { t.Error("a handler ran"); return newNote(""), nil },
		stream: func(grpc.ServerStream) error { t.Error("a handler ran"); return nil },
	}
}

// eachForm calls a method and opens a stream, and returns how each ended.
func eachForm(t *testing.T, ctx context.Context, conn *grpc.ClientConn) map[string]error {
	t.Helper()
	_, err := say(ctx, conn, "Say", "")
	return map[string]error{"unary": err, "stream": open(t, ctx, conn, "Watch").RecvMsg(newNote("").Message)}
}

func TestNothingThatATokenPointsToIsFetched(t *testing.T) {
	var fetched atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer evil.Close()
	iss := meshtest.NewIssuer(t)
	conn := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, nobody(t).register).Dial(t)
	for name, claims := range map[string]meshtest.Claims{
		"keys":                 {Header: map[string]any{"jku": evil.URL + "/jwks"}},
		"a certificate":        {Header: map[string]any{"x5u": evil.URL + "/certificate"}},
		"a key by its id":      {Header: map[string]any{"kid": evil.URL + "/key"}},
		"keys, with an id":     {Header: map[string]any{"jku": evil.URL + "/jwks", "kid": "theirs"}},
		"another issuer":       {Extra: map[string]any{"iss": evil.URL}},
		"an issuer, with keys": {Extra: map[string]any{"iss": evil.URL}, Header: map[string]any{"jku": evil.URL, "kid": "theirs"}},
	} {
		for form, err := range eachForm(t, meshtest.As(t.Context(), iss.Token(t, claims)), conn) {
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s, %s: %v", name, form, err)
			}
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("%d requests were made to where tokens pointed", n)
	}
}

// TestTheEdgesOfATokensTimes holds a server's clock still. A stream whose token has expired is let in by the leeway and
// ends at once.
func TestTheEdgesOfATokensTimes(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	base := time.Now().Truncate(time.Second)
	now := func() time.Time { return base }
	verifier, err := jwt.New(t.Context(), jwt.Config{Issuer: iss.URL, Audiences: []string{meshtest.Audience}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Verifier, c.Now = verifier, now }},
		(&echo{unary: whoami, stream: func(s grpc.ServerStream) error {
			if mesh.Caller(s.Context()).Expiry.Before(base) {
				<-s.Context().Done() // it is the server that ends it
				return s.Context().Err()
			}
			return s.SendMsg(newNote("in").Message)
		}}).register)
	conn := srv.Dial(t)
	at := func(d time.Duration) time.Time { return base.Add(d) }
	for _, tt := range []struct {
		name   string
		claims meshtest.Claims
		unary  codes.Code
		stream codes.Code
	}{
		{"expires in a second", meshtest.Claims{Expiry: at(time.Second)}, codes.OK, codes.OK},
		{"expired 29 seconds ago", meshtest.Claims{Expiry: at(-29 * time.Second)}, codes.OK, codes.Unauthenticated},
		{"expired 30 seconds ago", meshtest.Claims{Expiry: at(-30 * time.Second)}, codes.Unauthenticated, codes.Unauthenticated},
		{"expired 31 seconds ago", meshtest.Claims{Expiry: at(-31 * time.Second)}, codes.Unauthenticated, codes.Unauthenticated},
		{"valid in 29 seconds", meshtest.Claims{NotBefore: at(29 * time.Second)}, codes.OK, codes.OK},
		{"valid in 30 seconds", meshtest.Claims{NotBefore: at(30 * time.Second)}, codes.OK, codes.OK},
		{"valid in 31 seconds", meshtest.Claims{NotBefore: at(31 * time.Second)}, codes.Unauthenticated, codes.Unauthenticated},
		{"issued in 30 seconds", meshtest.Claims{Issued: at(30 * time.Second)}, codes.OK, codes.OK},
		{"issued in 31 seconds", meshtest.Claims{Issued: at(31 * time.Second)}, codes.Unauthenticated, codes.Unauthenticated},
		{"issued in a year", meshtest.Claims{Issued: at(365 * 24 * time.Hour)}, codes.Unauthenticated, codes.Unauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := eachForm(t, meshtest.As(t.Context(), iss.Token(t, tt.claims)), conn)
			if status.Code(got["unary"]) != tt.unary || status.Code(got["stream"]) != tt.stream {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestWhatAStreamsMessagesSayOfTheirSenderCountsForNothing says in each message to be somebody else.
func TestWhatAStreamsMessagesSayOfTheirSenderCountsForNothing(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{stream: func(s grpc.ServerStream) error {
		for {
			in := newNote("")
			if err := s.RecvMsg(in.Message); err != nil {
				return nil //nolint:nilerr // the client has said all
			}
			if err := s.SendMsg(newNote(in.text() + " is " + mesh.Caller(s.Context()).String()).Message); err != nil {
				return err
			}
		}
	}}).register)
	conn := srv.Dial(t)
	alice := open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web"})), conn, "Chat")
	bob := open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-bob", ClientID: "web"})), conn, "Chat")
	for _, claimed := range []string{"hello", "u-admin", "u-bob", "u-alice", "authorization: Bearer x"} {
		for who, stream := range map[string]grpc.ClientStream{"u-alice": alice, "u-bob": bob} {
			if claimed != "hello" { // which is what a stream begins with
				if err := stream.SendMsg(newNote(claimed).Message); err != nil {
					t.Fatal(err)
				}
			}
			got := newNote("")
			if err := stream.RecvMsg(got.Message); err != nil || got.text() != claimed+" is user "+who+" via web" {
				t.Errorf("%s, saying %q: %q, %v", who, claimed, got.text(), err)
			}
		}
	}
}

// panics is a verifier that a token can bring down.
type panics struct{ mesh.Verifier }

func (v panics) Verify(ctx context.Context, token string) (mesh.Identity, error) {
	if token == "a.b.c" {
		panic("index out of range")
	}
	return v.Verifier.Verify(ctx, token)
}

func TestAPanicWhileATokenIsVerifiedLetsNobodyIn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var ran atomic.Int64
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Verifier = panics{c.Verifier} }},
		(&echo{unary: func(ctx context.Context, in note) (note, error) { ran.Add(1); return whoami(ctx, in) }, stream: func(grpc.ServerStream) error { ran.Add(1); return nil }}).register)
	conn := srv.Dial(t)
	for range 3 {
		for form, err := range eachForm(t, meshtest.As(t.Context(), "a.b.c"), conn) {
			if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "index") {
				t.Errorf("%s: %v", form, err)
			}
		}
	}
	if n := ran.Load(); n != 0 {
		t.Errorf("%d handlers ran", n)
	}
	if _, err := say(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), conn, "Say", ""); err != nil {
		t.Errorf("the server does not live on: %v", err)
	}
}

// TestAMegabyteOfHeadersIsNotKept sends one credential of 1 MB in pieces, several times.
func TestAMegabyteOfHeadersIsNotKept(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, nobody(t).register)
	piece := []byte(strings.Repeat("A", 16<<10))
	// A literal field without indexing (RFC 7541, section 6.2.2): its name, then a value of 1 MB, not compressed.
	first := append(append([]byte{0x00, 13}, "authorization"...), 0x7f, 0x81, 0xff, 0x3f)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		w := newWire(t, iss, srv)
		err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first})
		for i := 0; err == nil && i < 64; i++ {
			err = w.WriteContinuation(1, i == 63, piece)
		}
		if !w.refused() {
			t.Error("not refused")
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 8<<20 {
		t.Errorf("%d KB were allocated for 10 MB", grown>>10)
	}
	if _, err := healthCheck(t.Context(), srv.Dial(t)); err != nil {
		t.Errorf("others: %v", err)
	}
}

// refused reads on until the server has refused the first stream, or ended the connection.
func (w *wire) refused() bool {
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			return !isTimeout(err)
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return true
		case *http2.MetaHeadersFrame:
			return f.StreamEnded()
		}
	}
}
