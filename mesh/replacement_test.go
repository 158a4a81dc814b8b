package mesh_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// partFiles are the files of a part, whose certificate can be replaced.
type partFiles struct {
	mesh.TLSFiles
	t    *testing.T
	ca   *meshtest.CA
	part string
}

func newPartFiles(t *testing.T, ca *meshtest.CA, part string, life time.Duration) (*partFiles, string) {
	t.Helper()
	f := &partFiles{ca.Files(t, t.TempDir(), part), t, ca, part}
	return f, f.replace(life)
}

// replace writes another certificate as tools do that replace files at one stroke, and returns its digest.
func (f *partFiles) replace(life time.Duration) string {
	f.t.Helper()
	pair := f.ca.Issue(f.t, &x509.Certificate{
		URIs:      []*url.URL{{Scheme: "spiffe", Host: mesh.TrustDomain, Path: "/" + f.part}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life),
	})
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		f.t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		f.Key: {Type: "PRIVATE KEY", Bytes: key}, f.Cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
	} {
		next := filepath.Join(filepath.Dir(path), "next")
		if err := os.WriteFile(next, pem.EncodeToMemory(block), 0o600); err != nil {
			f.t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			f.t.Fatal(err)
		}
	}
	return mesh.Thumbprint(pair.Leaf)
}

// replaced are a part "customer" that calls a part "echo" with tokens that are bound, over one connection.
type replaced struct {
	t    *testing.T
	iss  *meshtest.Issuer
	conn *grpc.ClientConn
	// exchanger gets the tokens.
	exchanger *meshtest.Exchanger
	// met is the digest of the certificate by which echo knew its last caller; said what it says in streams.
	met  atomic.Value
	said chan string
	// knows is that of the certificate by which customer knew echo last.
	knows atomic.Value
	calls atomic.Int64
}

func newReplaced(t *testing.T, iss *meshtest.Issuer, server *tls.Config, dial mesh.DialConfig) *replaced {
	t.Helper()
	r := &replaced{t: t, iss: iss, exchanger: iss.Exchanger(t, "customer"), said: make(chan string)}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.TLS = server }}, (&echo{
		unary: func(ctx context.Context, in note) (note, error) {
			shown, _ := mesh.PeerCertificate(ctx)
			r.met.Store(mesh.Thumbprint(shown))
			return in, nil
		},
		stream: func(s grpc.ServerStream) error {
			for text := range r.said {
				if err := s.SendMsg(newNote(text).Message); err != nil {
					return err
				}
			}
			return nil
		},
	}).register)
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: r.exchanger, Logger: meshtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	dial.Target, dial.Propagation, dial.Logger = srv.Addr, mesh.ExchangePerCall(x, mesh.Callee{Bind: true}), meshtest.Logger(t)
	if r.conn, err = mesh.Dial(dial); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	return r
}

func (r *replaced) as(subject string) context.Context {
	return mesh.WithBearer(r.t.Context(), r.iss.Token(r.t, meshtest.Claims{Subject: subject}))
}

func (r *replaced) call(ctx context.Context) error {
	var answers peer.Peer
	if err := r.conn.Invoke(ctx, "/test.mesh.v1.Echo/Say", newNote("").Message, newNote("").Message, grpc.Peer(&answers)); err != nil {
		return err
	}
	shown, _ := mesh.PeerCertificate(peer.NewContext(ctx, &answers))
	r.knows.Store(mesh.Thumbprint(shown))
	r.calls.Add(1)
	return nil
}

// load calls until the test stops it, on behalf of the same people and of ever new ones.
func (r *replaced) load() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var calling sync.WaitGroup
	for caller := range 4 {
		same := r.as(fmt.Sprint("u-", caller))
		calling.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				as := same
				if n%10 == 0 {
					as = r.as(fmt.Sprint("u-", caller, "-", n))
				}
				if err := r.call(as); err != nil {
					r.t.Errorf("a call fails: %v", err)
					return
				}
			}
		})
	}
	return func() { cancel(); calling.Wait() }
}

// later waits until a call that began after this was called is over.
func (r *replaced) later() {
	enough := r.calls.Load() + 5
	meshtest.Await(r.t, "more calls", func() bool { return r.t.Failed() || r.calls.Load() >= enough })
}

func (r *replaced) open() grpc.ClientStream {
	r.t.Helper()
	s := open(r.t, r.as("u-stream"), r.conn, "Watch")
	r.hears(s, "hello")
	return s
}

func (r *replaced) hears(s grpc.ClientStream, text string) {
	r.t.Helper()
	r.said <- text
	got := newNote("")
	if err := s.RecvMsg(got.Message); err != nil || got.text() != text {
		r.t.Fatalf("a stream that was open before: %q, %v", got.text(), err)
	}
}

// TestNoCallFailsWhileCertificatesAreReplaced replaces the certificates of both sides under load, the second time after the
// first ones have run out.
func TestNoCallFailsWhileCertificatesAreReplaced(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	const soon = 2 * time.Second
	end := time.Now().Add(soon)
	echo, first := newPartFiles(t, iss.CA, "echo", soon)
	customer, own := newPartFiles(t, iss.CA, "customer", soon)
	server, err := echo.Server()
	if err != nil {
		t.Fatal(err)
	}
	r := newReplaced(t, iss, server, mesh.DialConfig{TLSSource: customer.TLSFiles})
	long, stop := r.open(), r.load()
	r.later()
	if r.met.Load() != own || r.knows.Load() != first {
		t.Fatal("they do not know each other by their first certificates")
	}

	second := echo.replace(time.Hour)
	own = customer.replace(time.Hour)
	meshtest.Await(t, "the certificate of the client", func() bool { return t.Failed() || r.met.Load() == own })
	meshtest.Await(t, "the second certificate of the server", func() bool { return t.Failed() || r.knows.Load() == second })
	meshtest.Await(t, "the end of the first certificates", func() bool { return t.Failed() || time.Now().After(end) })
	r.later()
	r.hears(long, "on")

	own = customer.replace(time.Hour)
	meshtest.Await(t, "the third certificate of the client", func() bool { return t.Failed() || r.met.Load() == own })
	r.later()
	stop()
	r.hears(long, "and on")
	close(r.said)
	if err := long.RecvMsg(newNote("").Message); err == nil || err.Error() != "EOF" {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestACallThatWaitsForItsTokenIsMadeWhileCertificatesAreReplaced has a stream keep the connection that the call has picked.
func TestACallThatWaitsForItsTokenIsMadeWhileCertificatesAreReplaced(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	customer, _ := newPartFiles(t, iss.CA, "customer", time.Hour)
	r := newReplaced(t, iss, iss.CA.Server(t, "echo"), mesh.DialConfig{TLSSource: customer.TLSFiles, Timeout: 5 * time.Second})
	long := r.open()
	release := r.exchanger.Hold()
	asked := len(r.exchanger.Requests())
	slow := make(chan error, 1)
	go func() { slow <- r.call(r.as("u-slow")) }()
	meshtest.Await(t, "the exchange", func() bool { return len(r.exchanger.Requests()) > asked })
	r.exchanger.Hold()() // later ones are not held

	own := customer.replace(time.Hour)
	meshtest.Await(t, "calls by the next connection", func() bool {
		if err := r.call(r.as("u-quick")); err != nil {
			t.Fatal(err)
		}
		return r.met.Load() == own
	})
	release()
	if err := <-slow; err != nil {
		t.Errorf("the call that waited: %v", err)
	}
	r.hears(long, "on")
	close(r.said)
}

// TestAServersCertificateThatRanOutIsLookedAtAgain replaces that of the server alone.
func TestAServersCertificateThatRanOutIsLookedAtAgain(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	echo, _ := newPartFiles(t, iss.CA, "echo", 2*time.Second)
	server, err := echo.Server()
	if err != nil {
		t.Fatal(err)
	}
	r := newReplaced(t, iss, server, mesh.DialConfig{TLS: iss.CA.Client(t, "customer")})
	stop := r.load()
	defer stop()
	r.later()
	second := echo.replace(time.Hour)
	meshtest.Await(t, "the next certificate of the server", func() bool { return t.Failed() || r.knows.Load() == second })
}

// TestACertificateThatIsNotAcceptedReplacesNone has the client show one of an authority that the server does not know.
func TestACertificateThatIsNotAcceptedReplacesNone(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	customer, own := newPartFiles(t, iss.CA, "customer", time.Hour)
	r := newReplaced(t, iss, iss.CA.Server(t, "echo"), mesh.DialConfig{TLSSource: customer.TLSFiles})
	stop := r.load()
	defer stop()
	r.later()
	customer.ca = meshtest.NewCA(t)
	foreign := customer.replace(time.Hour)
	until := time.Now().Add(2 * time.Second)
	meshtest.Await(t, "the time in which it would be shown", func() bool { return t.Failed() || time.Now().After(until) })
	r.later()
	if got := r.met.Load(); got != own {
		t.Errorf("known by %v, not by %s; the foreign one is %s", got, own, foreign)
	}
	customer.ca = iss.CA
	own = customer.replace(time.Hour)
	meshtest.Await(t, "one that is accepted", func() bool { return t.Failed() || r.met.Load() == own })
}

// TestATokenIsBoundToWhatItsConnectionShows has two connections share exchanges, and show different certificates.
func TestATokenIsBoundToWhatItsConnectionShows(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	asked := iss.Exchanger(t, "customer")
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: asked})
	if err != nil {
		t.Fatal(err)
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, _ note) (note, error) {
		return newNote(mesh.Caller(ctx).Confirmation.X5T), nil
	}}).register)
	config := iss.CA.Client(t, "customer")
	other := iss.CA.Certificate(t, "customer")
	ctx := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-mary"}))
	for _, tt := range []struct {
		name   string
		pinned *tls.Certificate
		want   string
	}{
		{"its own", nil, mesh.Thumbprint(config.Certificates[0].Leaf)},
		{"one that is given", &other, mesh.Thumbprint(other.Leaf)},
	} {
		conn, err := mesh.Dial(mesh.DialConfig{
			Target: srv.Addr, TLS: config, Certificate: tt.pinned, Propagation: mesh.ExchangePerCall(x, mesh.Callee{Bind: true}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 2 {
			if got, err := say(ctx, conn, "Say", ""); err != nil || got != tt.want {
				t.Errorf("%s: bound to %s, want %s, %v", tt.name, got, tt.want, err)
			}
		}
	}
	if n := len(asked.Requests()); n != 2 {
		t.Errorf("asked %d times", n)
	}
	bare, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, Insecure: true, Propagation: mesh.PerCallBound(x)})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	held := mesh.WithBoundBearer(ctx, "x", mesh.Identity{Confirmation: mesh.Confirmation{JKT: "k"}})
	if _, err := say(held, bare, "Say", ""); mesh.Reason(err) != mesh.ReasonBoundToken {
		t.Errorf("over plaintext: %v", err)
	}
}
