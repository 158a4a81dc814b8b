package mesh_test

import (
	"context"
	"fmt"
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
	"google.golang.org/grpc/metadata"
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

// spent runs f and returns how many bytes were allocated meanwhile, by the test as well, and how many are still held after.
func spent(f func()) (allocated, kept int64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc), int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// TestAMegabyteOfHeadersIsNotKept sends one credential of 1 MB in pieces, to every method, several times; and all at once,
// without an end, where all that has been sent would be held.
func TestAMegabyteOfHeadersIsNotKept(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, nobody(t).register)
	piece := []byte(strings.Repeat("A", 16<<10))
	send := func(w *wire, method string, pieces int, end bool) {
		// A literal field without indexing (RFC 7541, section 6.2.2): its name, then a value of 1 MB, not compressed.
		first := append(append(w.headers(method), 0x00, 13), append([]byte("authorization"), 0x7f, 0x81, 0xff, 0x3f)...)
		err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first})
		for i := 0; err == nil && i < pieces; i++ {
			err = w.WriteContinuation(1, end && i == pieces-1, piece)
		}
	}
	sent := 0
	allocated, kept := spent(func() {
		for _, method := range echoMethods {
			for range 3 {
				w := newWire(t, iss, srv)
				if send(w, "/test.mesh.v1.Echo/"+method, 64, true); !w.refused() {
					t.Errorf("%s: not refused", method)
				}
				w.close()
				sent++
			}
		}
	})
	if allocated > int64(sent)*768<<10 || kept > 2<<20 { // half a megabyte each is the sender's own, where -race is on
		t.Errorf("%d KB were allocated and %d KB kept for %d MB", allocated>>10, kept>>10, sent)
	}
	const many = 40
	var open []*wire
	_, kept = spent(func() {
		for range many {
			w := newWire(t, iss, srv)
			send(w, "/test.mesh.v1.Echo/Watch", 63, false)
			open = append(open, w)
		}
	})
	if kept > many*256<<10 {
		t.Errorf("%d KB are held for %d headers without an end", kept>>10, many)
	}
	if _, err := healthCheck(t.Context(), srv.Dial(t)); err != nil {
		t.Errorf("others: %v", err)
	}
	for _, w := range open {
		if w.close(); w.refused() {
			continue
		}
		t.Error("a header without an end was waited for")
	}
}

// TestWhatStrangersSendIsNotKept sends tokens that are as large as may be, each another one, to every method.
func TestWhatStrangersSendIsNotKept(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, nobody(t).register)
	conn := srv.Dial(t)
	var sealed []string
	for _, bad := range iss.BadCredentials(t) {
		if strings.HasPrefix(bad.Name, "encrypted") {
			sealed = append(sealed, bad.Authorization[0])
		}
	}
	if len(sealed) < 10 {
		t.Fatalf("%d are encrypted", len(sealed))
	}
	good := iss.Token(t, meshtest.Claims{})
	try := func(method, credential string) error {
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs("authorization", credential))
		if echoDescriptor(method).IsStreamingServer() {
			return open(t, ctx, conn, method).RecvMsg(newNote("").Message)
		}
		_, err := say(ctx, conn, method, "")
		return err
	}
	for name, credential := range map[string]func(i int) string{
		"a good one with a signature of its own": func(i int) string { return fmt.Sprintf("Bearer %s%08d", good[:len(good)-8], i) },
		"the longest that is looked at":          func(i int) string { return fmt.Sprintf("Bearer %s.%08d", strings.Repeat("A", 8000), i) },
		"more than is looked at":                 func(i int) string { return fmt.Sprintf("Bearer %s.%08d", strings.Repeat("A", 12<<10), i) },
		"one that is encrypted":                  func(i int) string { return sealed[i%len(sealed)] },
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			round := func() {
				for _, method := range echoMethods {
					if echoRules[method].GetPublic() {
						continue
					}
					for range 8 {
						if err := try(method, credential(n)); status.Code(err) != codes.Unauthenticated {
							t.Fatalf("%s: %v", method, err)
						}
						n++
					}
				}
			}
			round() // what is made once is made
			allocated, kept := spent(func() { round(); round() })
			// The client that sends them has a share in this, and the race detector one in pools.
			if each := allocated / int64(n*2/3); each > 256<<10 || kept > 1<<20 {
				t.Errorf("%d KB were allocated for each, %d KB kept of %d", each>>10, kept>>10, n)
			}
			t.Logf("%d tokens: %d KB allocated for each, %d KB kept", n, allocated/int64(n*2/3)>>10, kept>>10)
		})
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
