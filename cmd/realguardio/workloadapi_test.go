package main_test

import (
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// byFiles has a part prove itself by files of a folder.
func byFiles(_ *testing.T, dir, part string) (settings string) {
	return "  mesh-ca-file: " + dir + "/ca.pem\n  mesh-cert-file: " + dir + "/" + part + ".pem\n  mesh-key-file: " + dir + "/" + part + "-key.pem\n"
}

// byWorkloadAPI has it ask a SPIFFE Workload API of its own for the same certificate.
func byWorkloadAPI(t *testing.T, dir, part string) (settings string) {
	t.Helper()
	return "  spiffe-socket: unix://" + startAgent(t, &workload.X509SVID{
		SpiffeId: "spiffe://realguardio/" + part, X509Svid: der(t, dir+"/"+part+".pem"), X509SvidKey: der(t, dir+"/"+part+"-key.pem"),
		Bundle: der(t, dir+"/ca.pem"),
	}) + "\n"
}

func der(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatalf("%s is no PEM", file)
	}
	return block.Bytes
}

// agent is a Workload API that knows one workload.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	svid *workload.X509SVID
}

// startAgent starts one until the test ends, and returns its socket.
func startAgent(t *testing.T, svid *workload.X509SVID) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "api.sock")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, &agent{svid: svid})
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func (a *agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	// It is what proves that nobody was made to ask by a page in a browser (SPIFFE Workload Endpoint, section 3).
	if md, _ := metadata.FromIncomingContext(stream.Context()); len(md.Get("workload.spiffe.io")) != 1 {
		return status.Error(codes.InvalidArgument, "the header is missing")
	}
	if err := stream.Send(&workload.X509SVIDResponse{Svids: []*workload.X509SVID{a.svid}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}
