package spiffe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/spiffe"
)

// watch is a service that only the parts may call, and that answers once: with the serial number of its caller's
// certificate.
type watch struct {
	meshv1.UnsafeRevocationServiceServer
}

func (watch) Watch(_ *meshv1.WatchRequest, s grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	shown, _ := mesh.PeerCertificate(s.Context())
	return s.Send(&meshv1.WatchResponse{Epoch: shown.SerialNumber.String()})
}

func parse(t *testing.T, form string) mesh.WorkloadIDs {
	t.Helper()
	ids, err := mesh.ParseWorkloadIDs(form)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func source(t *testing.T, a *agent, part, form string) *spiffe.Source {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := spiffe.New(ctx, spiffe.Config{Part: part, WorkloadIDs: parse(t, form), Socket: a.socket, Logger: meshtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// serve starts the part "token" with the certificates of a source.
func serve(t *testing.T, iss *meshtest.Issuer, s *spiffe.Source, form string) *meshtest.Server {
	t.Helper()
	config, err := s.Server()
	if err != nil {
		t.Fatal(err)
	}
	return meshtest.Serve(t, iss, meshtest.Part{Name: "token", Configure: func(c *mesh.ServerConfig) {
		c.TLS, c.WorkloadIDs = config, parse(t, form)
	}}, func(r grpc.ServiceRegistrar) { meshv1.RegisterRevocationServiceServer(r, watch{}) })
}

func dial(t *testing.T, iss *meshtest.Issuer, addr string, to mesh.TLSSource) *grpc.ClientConn {
	t.Helper()
	return dialBy(t, addr, to, mesh.AsService(iss.Source(t, "customer")))
}

func dialBy(t *testing.T, addr string, to mesh.TLSSource, p mesh.Propagation) *grpc.ClientConn {
	t.Helper()
	conn, err := mesh.Dial(mesh.DialConfig{Target: addr, TLSSource: to, Propagation: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// call is let in only where the caller's certificate and its token name the same workload.
func call(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := known(ctx, conn)
	return err
}

// known returns the serial number of the certificate by which the server knows its caller.
func known(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	stream, err := meshv1.NewRevocationServiceClient(conn).Watch(ctx, &meshv1.WatchRequest{})
	if err != nil {
		return "", err
	}
	answer, err := stream.Recv()
	return answer.GetEpoch(), err
}

const plain, nested = mesh.WorkloadID, "spiffe://cluster.local/ns/alarms/sa/rg-{part}"

func TestPartsKnowEachOtherByTheWorkloadAPI(t *testing.T) {
	for _, form := range []string{plain, nested} {
		t.Run(form, func(t *testing.T) {
			iss, ids := meshtest.NewIssuer(t), parse(t, form)
			ca := newAuthority(t, ids.Domain())
			// A workload may have several; the part's own is shown.
			tokens := startAgent(t, ca.svid(t, "spiffe://"+ids.Domain()+"/first"), ca.svid(t, ids.ID("token")))
			customers := startAgent(t, ca.svid(t, ids.ID("customer")))
			srv := serve(t, iss, source(t, tokens, "token", form), form)
			if err := call(t.Context(), dial(t, iss, srv.Addr, source(t, customers, "customer", form).To("token"))); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhoIsNotOfTheMeshIsRefusedInTheHandshake(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	ca, foreign := newAuthority(t, mesh.TrustDomain), newAuthority(t, "elsewhere")
	id := parse(t, plain).ID
	srv := serve(t, iss, source(t, startAgent(t, ca.svid(t, id("token"))), "token", plain), plain)
	customer := source(t, startAgent(t, ca.svid(t, id("customer"))), "customer", plain)
	t.Run("a server with another id", func(t *testing.T) {
		if err := call(t.Context(), dial(t, iss, srv.Addr, customer.To("notification"))); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	for name, svid := range map[string]*workload.X509SVID{
		"a client of another trust domain":                  foreign.svid(t, "spiffe://elsewhere/customer"),
		"a client of another trust domain that claims ours": foreign.svid(t, id("customer")),
		"a client whose id has another form":                ca.svid(t, "spiffe://realguardio/ns/customer"),
		"a client of our authority with a foreign domain":   ca.svid(t, "spiffe://elsewhere/customer"),
		"a client that is the trust domain and no workload": ca.svid(t, "spiffe://realguardio"),
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := tls.X509KeyPair(pemOf("CERTIFICATE", svid.GetX509Svid()), pemOf("PRIVATE KEY", svid.GetX509SvidKey()))
			if err != nil {
				t.Fatal(err)
			}
			stranger := &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true} // it is the server that refuses
			conn, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, TLS: stranger, Propagation: mesh.AsService(iss.Source(t, "customer"))})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := call(t.Context(), conn); status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a workload with another's token", func(t *testing.T) {
		other := source(t, startAgent(t, ca.svid(t, id("notification"))), "notification", plain)
		if err := call(t.Context(), dial(t, iss, srv.Addr, other.To("token"))); status.Code(err) != codes.PermissionDenied {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a server of another authority", func(t *testing.T) {
		imposter := newAuthority(t, mesh.TrustDomain)
		srv := serve(t, iss, source(t, startAgent(t, imposter.svid(t, id("token"))), "token", plain), plain)
		if err := call(t.Context(), dial(t, iss, srv.Addr, customer.To("token"))); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

// TestCertificatesAndAuthoritiesAreReplacedWhileCallsGoOn calls over connections that stay and over new ones, with bearer
// tokens and with bound ones, while the agents replace first the authorities, then the certificates, and then forget the
// old authority.
func TestCertificatesAndAuthoritiesAreReplacedWhileCallsGoOn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	id := parse(t, plain).ID
	first, second := newAuthority(t, mesh.TrustDomain), newAuthority(t, mesh.TrustDomain)
	tokens, customers := startAgent(t, first.svid(t, id("token"))), startAgent(t, first.svid(t, id("customer")))
	server, client := source(t, tokens, "token", plain), source(t, customers, "customer", plain)
	srv := serve(t, iss, server, plain)
	kept := dial(t, iss, srv.Addr, client.To("token"))
	exchanges, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: iss.Exchanger(t, "customer")})
	if err != nil {
		t.Fatal(err)
	}
	bound := dialBy(t, srv.Addr, client.To("token"), mesh.ExchangePerCall(exchanges, mesh.Callee{Bind: true}))

	ctx, stop := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	var calls atomic.Int64
	asItself := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{Subject: "customer", Kind: mesh.KindWorkload}))
	var shown atomic.Value
	calling.Go(func() {
		for ctx.Err() == nil {
			serial, err := known(asItself, bound)
			if err != nil {
				t.Errorf("a call with a bound token: %v", err)
			}
			shown.Store(serial)
		}
	})
	for _, fresh := range []bool{false, true} {
		calling.Go(func() {
			for ctx.Err() == nil {
				conn := kept
				if fresh {
					var err error
					if conn, err = mesh.Dial(mesh.DialConfig{Target: srv.Addr, TLSSource: client.To("token"), Propagation: mesh.AsService(iss.Source(t, "customer"))}); err != nil {
						t.Error(err)
						return
					}
				}
				if err := call(t.Context(), conn); err != nil {
					t.Errorf("a call, fresh %v: %v", fresh, err)
				}
				calls.Add(1)
				if fresh {
					conn.Close()
				}
			}
		})
	}
	more := func() { // lets some calls be made with what there is now
		for enough := calls.Load() + 20; calls.Load() < enough && !t.Failed(); {
			if err := call(t.Context(), kept); err != nil {
				t.Errorf("got %v", err)
			}
		}
	}
	var serial string // of the last one of the client
	with := func(svid *workload.X509SVID, bundle ...*authority) *workload.X509SVID {
		svid.Bundle = nil
		for _, a := range bundle {
			svid.Bundle = append(svid.Bundle, a.cert.Raw...)
		}
		return svid
	}
	for _, step := range []struct {
		signer *authority
		bundle []*authority
	}{{first, []*authority{first, second}}, {second, []*authority{first, second}}, {second, []*authority{second}}} {
		for part, of := range map[string]struct {
			agent  *agent
			source *spiffe.Source
		}{"token": {tokens, server}, "customer": {customers, client}} {
			svid := with(step.signer.svid(t, id(part)), step.bundle...)
			of.agent.set(svid)
			await(t, of.source, svid)
			if part == "customer" {
				own, err := x509.ParseCertificate(svid.GetX509Svid())
				if err != nil {
					t.Fatal(err)
				}
				serial = own.SerialNumber.String()
			}
		}
		more()
	}
	meshtest.Await(t, "the last certificate of the client", func() bool { return t.Failed() || shown.Load() == serial })
	stop()
	calling.Wait()
}

// await waits until a source shows a certificate.
func await(t *testing.T, s *spiffe.Source, svid *workload.X509SVID) {
	t.Helper()
	config, err := s.Server()
	if err != nil {
		t.Fatal(err)
	}
	meshtest.Await(t, "the new certificate", func() bool {
		pair, err := config.GetCertificate(nil)
		return err == nil && string(pair.Certificate[0]) == string(svid.GetX509Svid())
	})
}

func TestASourceIsNotMade(t *testing.T) {
	ca := newAuthority(t, mesh.TrustDomain)
	a := startAgent(t, ca.svid(t, "spiffe://realguardio/customer"))
	t.Setenv(spiffe.SocketVariable, "")
	for _, tt := range []struct {
		name string
		cfg  spiffe.Config
		want string
	}{
		{name: "without a name", cfg: spiffe.Config{Socket: a.socket}, want: "Part is missing"},
		{name: "without an address", cfg: spiffe.Config{Part: "customer"}, want: "is missing"},
		{name: "with an address that is none", cfg: spiffe.Config{Part: "customer", Socket: "/run/agent.sock"}, want: "address"},
		{name: "where the API has no certificate of the part", cfg: spiffe.Config{Part: "token", Socket: a.socket}, want: "spiffe://realguardio/token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := spiffe.New(ctx, tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Setenv(spiffe.SocketVariable, a.socket)
	s, err := spiffe.New(t.Context(), spiffe.Config{Part: "customer"})
	if err != nil {
		t.Fatalf("with the address in the environment: %v", err)
	}
	s.Close()
}
