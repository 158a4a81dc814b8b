package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// passing tells by which parts calls and streams came.
type passing struct {
	echo
	came chan []string
}

func newPassing() *passing {
	p := &passing{came: make(chan []string, 1)}
	p.unary = func(ctx context.Context, in note) (note, error) {
		p.came <- mesh.Via(ctx)
		return in, nil
	}
	p.stream = func(stream grpc.ServerStream) error {
		p.came <- mesh.Via(stream.Context())
		return stream.SendMsg(newNote("").Message)
	}
	return p
}

// of returns how the last call came; false where the handler did not run.
func (p *passing) of() ([]string, bool) {
	select {
	case via := <-p.came:
		return via, true
	default:
		return nil, false
	}
}

// TestWhichPartsACallCameThrough has all who can connect say it, in a call and in a stream.
func TestWhichPartsACallCameThrough(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	p := newPassing()
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, p.register)
	another := iss.CA.Client(t, "gateway")
	another.Certificates[0] = iss.CA.Issue(t, certificateOf(t, "spiffe://elsewhere/gateway"))
	stranger, err := grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(credentials.NewTLS(another)))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	gateway := srv.DialAs(t, "gateway")
	long := strings.Repeat("p", 399)
	fifteen := strings.Repeat("p ", 14) + "p"
	for _, tt := range []struct {
		name string
		conn *grpc.ClientConn
		says []string
		want []string
		code codes.Code
	}{
		{name: "a workload that says nothing", conn: gateway, want: []string{"gateway"}},
		{name: "a workload that names one", conn: gateway, says: []string{"customer"}, want: []string{"gateway", "customer"}},
		{name: "a workload that names two", conn: gateway, says: []string{"customer security-system.v2_x"}, want: []string{"gateway", "customer", "security-system.v2_x"}},
		{name: "a workload that names itself as well", conn: gateway, says: []string{"customer gateway"}, want: []string{"gateway", "customer", "gateway"}},
		{name: "a workload that names as many as may be", conn: gateway, says: []string{fifteen}, want: append([]string{"gateway"}, strings.Fields(fifteen)...)},
		{name: "a workload that names one of as many bytes as may be", conn: gateway, says: []string{long + "p"}, want: []string{"gateway", long + "p"}},
		{name: "a workload that names one more", conn: gateway, says: []string{fifteen + " p"}, code: codes.InvalidArgument},
		{name: "a workload that names one of a byte more", conn: gateway, says: []string{long + "pp"}, code: codes.InvalidArgument},
		{name: "a workload that names a thousand", conn: gateway, says: []string{strings.Repeat("p ", 999) + "p"}, code: codes.InvalidArgument},
		{name: "a workload that says it twice", conn: gateway, says: []string{"customer", "customer"}, code: codes.InvalidArgument},
		{name: "a workload that says it twice in one", conn: gateway, says: []string{"customer, customer"}, code: codes.InvalidArgument},
		{name: "a workload that says it empty", conn: gateway, says: []string{""}, code: codes.InvalidArgument},
		{name: "a workload that leaves a name out", conn: gateway, says: []string{"customer  token"}, code: codes.InvalidArgument},
		{name: "a workload that names another domain's", conn: gateway, says: []string{"spiffe://elsewhere/customer"}, code: codes.InvalidArgument},
		{name: "a workload that names what is no name", conn: gateway, says: []string{"customer .."}, code: codes.InvalidArgument},
		{name: "a workload that writes a quote", conn: gateway, says: []string{`customer "token"`}, code: codes.InvalidArgument},
		{name: "who is no workload of the domain says nothing", conn: stranger},
		{name: "who is no workload of the domain is not heard", conn: stranger, says: []string{"gateway"}},
		{name: "who is no workload of the domain is not read", conn: stranger, says: []string{"\"", strings.Repeat("p ", 999)}},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, ", streamed ", streamed), func(t *testing.T) {
				ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
				for _, said := range tt.says {
					ctx = metadata.AppendToOutgoingContext(ctx, "mesh-via", said)
				}
				var err error
				if streamed {
					_, err = watch(ctx, tt.conn)
				} else {
					_, err = say(ctx, tt.conn, "Say", "")
				}
				got, ran := p.of()
				if status.Code(err) != tt.code || ran != (tt.code == codes.OK) || !cmp.Equal(got, tt.want) {
					t.Errorf("%v; ran %v, by way of %q", err, ran, got)
				}
			})
		}
	}
}

// TestPartsThatCallInACircleComeToAnEnd has a part call itself for as long as it may.
func TestPartsThatCallInACircleComeToAnEnd(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var itself *grpc.ClientConn
	calls := 0
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "customer"}, (&echo{unary: func(ctx context.Context, in note) (note, error) {
		calls++ // one after the other
		_, err := say(ctx, itself, "Say", "")
		return in, err
	}}).register)
	itself = srv.Connect(t, "customer", mesh.Forward())
	_, err := say(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), srv.DialAs(t, "gateway"), "Say", "")
	if status.Code(err) != codes.Internal || calls != 16 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestOnlyWorkloadsAreToldWhereACallCameFrom has a part call servers of others, as it may by Exchange and AsService.
func TestOnlyWorkloadsAreToldWhereACallCameFrom(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	x, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: iss.Exchanger(t, "customer")})
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []struct {
		name, uri string
		told      []string
	}{
		{"a workload of the domain", "spiffe://realguardio/echo", []string{"gateway", "192.0.2.7"}},
		{"a workload of another domain", "spiffe://elsewhere/echo", nil},
		{"no workload", "", nil},
	} {
		told := make(chan []string, 1)
		back := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(cfg *mesh.ServerConfig) {
			cfg.TLS = iss.CA.Server(t, "echo")
			cfg.TLS.Certificates[0] = iss.CA.Issue(t, certificateOf(t, server.uri))
		}}, (&echo{unary: func(ctx context.Context, in note) (note, error) {
			told <- append(metadata.ValueFromIncomingContext(ctx, "mesh-via"), metadata.ValueFromIncomingContext(ctx, "mesh-client")...)
			return in, nil
		}}).register)
		for name, p := range map[string]mesh.Propagation{
			"exchanged": mesh.Exchange(x, mesh.Callee{Audience: echoAudience}), "as a service": mesh.AsService(iss.Source(t, "customer")),
		} {
			t.Run(server.name+", "+name, func(t *testing.T) {
				front := meshtest.Serve(t, iss, meshtest.Part{Name: "customer"}, callingOn(back.Connect(t, "customer", p)).register).DialAs(t, "gateway")
				for range 2 { // the second with a reference to the token, where it is kept
					ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), "mesh-client", "192.0.2.7")
					if _, err := say(ctx, front, "Say", ""); err != nil {
						t.Fatal(err)
					}
					if got := <-told; !cmp.Equal(got, server.told) {
						t.Errorf("told %q", got)
					}
				}
			})
		}
	}
}
