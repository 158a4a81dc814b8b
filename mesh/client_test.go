package mesh_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// TestTheAddressOfAClientIsHeardFromWorkloadsAlone has all who can connect say one.
func TestTheAddressOfAClientIsHeardFromWorkloadsAlone(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	came := make(chan netip.Addr, 1)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: func(ctx context.Context, in note) (note, error) {
		came <- mesh.ClientAddress(mesh.WithRequestID(ctx, "another"))
		return in, nil
	}}).register)
	another := iss.CA.Client(t, "gateway")
	another.Certificates[0] = iss.CA.Issue(t, certificateOf(t, "spiffe://elsewhere/gateway"))
	stranger, err := grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(credentials.NewTLS(another)))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	gateway := srv.DialAs(t, "gateway")
	for _, tt := range []struct {
		name string
		conn *grpc.ClientConn
		says []string
		want string
	}{
		{name: "a workload that works by itself", conn: gateway},
		{name: "a workload that names one", conn: gateway, says: []string{"192.0.2.7"}, want: "192.0.2.7"},
		{name: "a workload that names one of IPv6", conn: gateway, says: []string{"2001:db8::1"}, want: "2001:db8::1"},
		{name: "a workload that names the longest", conn: gateway, says: []string{"2001:db81:db81:db81:db81:db81:db81:db81"}, want: "2001:db81:db81:db81:db81:db81:db81:db81"},
		{name: "two addresses are none", conn: gateway, says: []string{"192.0.2.7", "192.0.2.8"}},
		{name: "a list is none", conn: gateway, says: []string{"192.0.2.7, 192.0.2.8"}},
		{name: "a port beside it", conn: gateway, says: []string{"192.0.2.7:80"}},
		{name: "a network", conn: gateway, says: []string{"192.0.2.0/24"}},
		{name: "a name", conn: gateway, says: []string{"localhost"}},
		{name: "nothing", conn: gateway, says: []string{""}},
		{name: "a zone", conn: gateway, says: []string{"fe80::1%eth0"}},
		{name: "another form of an address", conn: gateway, says: []string{"2001:DB8:0::1"}},
		{name: "IPv4 written as IPv6", conn: gateway, says: []string{"::ffff:192.0.2.7"}},
		{name: "very many bytes", conn: gateway, says: []string{strings.Repeat("1", 5000)}},
		{name: "who is no workload is known by the connection", conn: stranger, want: "127.0.0.1"},
		{name: "who is no workload is not heard", conn: stranger, says: []string{"192.0.2.7"}, want: "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
			for _, said := range tt.says {
				ctx = metadata.AppendToOutgoingContext(ctx, "mesh-client", said)
			}
			if _, err := say(ctx, tt.conn, "Say", ""); err != nil {
				t.Fatal(err)
			}
			want, _ := netip.ParseAddr(tt.want)
			if got := <-came; got != want {
				t.Errorf("came from %v, want %q", got, tt.want)
			}
		})
	}
}

func TestWhereWorkComesFromThatIsNoRPCIsSaidByWhoBeginsIt(t *testing.T) {
	for said, want := range map[string]string{"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "fe80::1%eth0": "fe80::1", "::": "", "0.0.0.0": ""} {
		ctx := mesh.WithClientAddress(t.Context(), netip.MustParseAddr(said))
		if got, _ := netip.ParseAddr(want); mesh.ClientAddress(ctx) != got || mesh.RequestID(ctx) == "" {
			t.Errorf("%s: %v of request %q", said, mesh.ClientAddress(ctx), mesh.RequestID(ctx))
		}
	}
	if got := mesh.ClientAddress(t.Context()); got.IsValid() {
		t.Errorf("nothing came from %v", got)
	}
}
