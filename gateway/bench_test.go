package gateway_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/internal/redistest"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// BenchmarkREST compares a REST call with a session, through everything, with bare grpc-gateway over the same kind of
// connection to a bare gRPC server.
func BenchmarkREST(b *testing.B) {
	b.Run("session", func(b *testing.B) {
		w := newWorldOn(b, redistest.Real(b))
		w.backend.quiet = true
		g := w.gateway(b, func(c *gateway.Config) {
			c.Limits = gateway.Limits{Address: gateway.Unlimited, Caller: gateway.Unlimited, SignIn: gateway.Unlimited}
			c.Logger = slog.New(slog.DiscardHandler)
		})
		cookie := "realguardio-session=" + g.signedIn(b).cookie(b, "realguardio-session")
		load(b, g.url, cookie)
	})
	b.Run("bare", func(b *testing.B) {
		p := newIDP(b)
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(p.CA.Server(b, "securitysystem"))))
		securitysystemv1.RegisterSecuritySystemServiceServer(server, &backend{quiet: true})
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		go func() { _ = server.Serve(lis) }()
		b.Cleanup(server.Stop)
		conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(p.CA.Client(b, "gateway"))))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		mux := runtime.NewServeMux()
		if err := securitysystemv1.RegisterSecuritySystemServiceHandler(b.Context(), mux, conn); err != nil {
			b.Fatal(err)
		}
		if err := customerv1.RegisterCustomerServiceHandler(b.Context(), mux, conn); err != nil {
			b.Fatal(err)
		}
		front := httptest.NewServer(mux)
		b.Cleanup(front.Close)
		load(b, front.URL, "x="+p.Token(b, meshtest.Claims{}))
	})
}

func load(b *testing.B, url, cookie string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.Cleanup(client.CloseIdleConnections)
	b.SetParallelism(16)
	b.ResetTimer()
	before := cpu(b)
	defer func() { b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op") }()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequest(http.MethodGet, url+"/api/v1/securitysystems/sys_1", nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Cookie", cookie)
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Errorf("answer is %d", res.StatusCode)
				return
			}
		}
	})
}

// cpu is the time that this process has computed, in nanoseconds. Unlike the time that passes it is the same on a busy
// machine.
func cpu(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
