package xds_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/xds"
)

// plane is the control plane of all tests here. TestMain sets it.
var plane *controlPlane

// TestMain runs the tests beside a control plane, in a process whose environment names its bootstrap file from the start:
// grpc reads it then.
func TestMain(m *testing.M) {
	run := withBootstrap
	if bootstrap := os.Getenv(xds.BootstrapVariable); bootstrap != "" {
		run = func() (int, error) {
			return runControlPlane(bootstrap, func(c *controlPlane) int {
				plane = c
				return m.Run()
			})
		}
	}
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withBootstrap() (int, error) {
	dir, err := os.MkdirTemp("", "xds")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	again := exec.Command(os.Args[0], os.Args[1:]...)
	again.Env = append(os.Environ(), xds.BootstrapVariable+"="+filepath.Join(dir, "bootstrap.json"))
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	if again.Run() != nil {
		return 1, nil // it has said why
	}
	return 0, nil
}

// watch is a service that only the parts may call, and that answers once.
type watch struct {
	meshv1.UnsafeRevocationServiceServer
}

func (watch) Watch(_ *meshv1.WatchRequest, s grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	return s.Send(&meshv1.WatchResponse{})
}

func serve(t *testing.T, iss *meshtest.Issuer, part string) *meshtest.Server {
	return meshtest.Serve(t, iss, meshtest.Part{Name: part}, func(r grpc.ServiceRegistrar) {
		meshv1.RegisterRevocationServiceServer(r, watch{})
	})
}

func call(t *testing.T, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := meshv1.NewRevocationServiceClient(conn).Watch(ctx, &meshv1.WatchRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

// TestAControlPlaneSaysWhereCallsGoAndNotWhomToTrust sends calls of the name "token" to a server that is the part, to
// another that is it as well, and to one that is not.
func TestAControlPlaneSaysWhereCallsGoAndNotWhomToTrust(t *testing.T) {
	iss, name := meshtest.NewIssuer(t), plane.names()
	token, stranger, unknown := name("token"), name("stranger"), name("unknown")
	plane.route(token, serve(t, iss, token).Addr)
	plane.route(stranger, serve(t, iss, "notification").Addr)
	plane.route(unknown, serve(t, meshtest.NewIssuer(t), unknown).Addr)
	dial := func(name, part string) *grpc.ClientConn {
		conn, err := xds.Dial(mesh.DialConfig{
			Target: "xds:///" + name, TLS: iss.CA.Client(t, part), Propagation: mesh.AsService(iss.Source(t, "customer")), Logger: meshtest.Logger(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for _, tt := range []struct {
		name, target, part string
		want               codes.Code
	}{
		{name: "the part", target: token, part: "customer", want: codes.OK},
		{name: "a server with another name in its certificate", target: stranger, part: "customer", want: codes.Unavailable},
		{name: "a server of another authority", target: unknown, part: "customer", want: codes.Unavailable},
		{name: "a caller whose certificate is not that of its token", target: token, part: "notification", want: codes.PermissionDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := call(t, dial(tt.target, tt.part)); status.Code(err) != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("the part, elsewhere, without a new connection", func(t *testing.T) {
		conn := dial(token, "customer")
		is := func(want codes.Code) func() bool {
			return func() bool { return status.Code(call(t, conn)) == want }
		}
		if !is(codes.OK)() {
			t.Fatal("the part does not answer")
		}
		plane.route(token, serve(t, iss, "notification").Addr)
		meshtest.Await(t, "a refusal of the server that is not the part", is(codes.Unavailable))
		plane.route(token, serve(t, iss, token).Addr)
		meshtest.Await(t, "the part's answer", is(codes.OK))
	})
}

func TestAnXDSConnectionIsNotDialled(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	dial := func(target string) error {
		_, err := xds.Dial(mesh.DialConfig{Target: target, TLS: iss.CA.Client(t, "customer"), Propagation: mesh.Anonymous()})
		return err
	}
	if err := dial("token:9100"); err == nil || !strings.Contains(err.Error(), "does not begin with xds:") {
		t.Errorf("got %v", err)
	}
	t.Setenv(xds.BootstrapVariable, "")
	if err := dial("xds:///token"); err == nil || !strings.Contains(err.Error(), "where the control plane is") {
		t.Errorf("got %v", err)
	}
}
