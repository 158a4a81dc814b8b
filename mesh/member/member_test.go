package member_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/member"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// ended is a log of revocations: what comes in goes out, numbered.
type ended struct {
	meshv1.UnsafeRevocationServiceServer
	sessions chan string
}

func (e ended) Watch(_ *meshv1.WatchRequest, stream grpc.ServerStreamingServer[meshv1.WatchResponse]) error {
	m := &meshv1.WatchResponse{Epoch: "e", Reset_: true}
	for {
		if err := stream.Send(m); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case session := <-e.sessions:
			m = &meshv1.WatchResponse{Epoch: "e", Head: m.GetHead() + 1, Revocations: []*meshv1.Revocation{{
				Number: m.GetHead() + 1, Kind: meshv1.RevocationKind_REVOCATION_KIND_SESSION, Value: session,
				ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
			}}}
		}
	}
}

// me answers who calls.
type me struct {
	tokenv1.UnimplementedAccountServiceServer
}

func (me) GetMe(ctx context.Context, _ *tokenv1.GetMeRequest) (*tokenv1.GetMeResponse, error) {
	return &tokenv1.GetMeResponse{User: &tokenv1.User{Id: mesh.Caller(ctx).Subject}}, nil
}

func TestAMemberLetsInWhoseRightHasNotEnded(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	iss.AddClient("billing", "secret")
	log := ended{sessions: make(chan string)}
	token := meshtest.Serve(t, iss, meshtest.Part{Name: "token"}, func(r grpc.ServiceRegistrar) { meshv1.RegisterRevocationServiceServer(r, log) })
	var answered, refused atomic.Int64
	cfg := config(t, iss, token.Addr)
	cfg.Instrument = func(s *mesh.ServerConfig) {
		s.UnaryInterceptors = append(s.UnaryInterceptors, func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			answer, err := next(ctx, req)
			if status.Code(err) == codes.Unauthenticated {
				refused.Add(1)
			} else {
				answered.Add(1)
			}
			return answer, err
		})
	}
	m, err := member.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	conn, err := m.Dial(serve(t, m), mesh.PerCall())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := tokenv1.NewAccountServiceClient(conn)
	alice := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice", SessionID: "s1", Scopes: []string{"account.read", "openid", "profile"}}))
	meshtest.Await(t, "the log", func() bool { return !m.Revocations.Stale() })

	who, err := client.GetMe(alice, &tokenv1.GetMeRequest{})
	if err != nil || who.GetUser().GetId() != "u-alice" {
		t.Errorf("before: %v, %v", who, err)
	}
	log.sessions <- "s1"
	meshtest.Await(t, "the end", func() bool {
		_, err = client.GetMe(alice, &tokenv1.GetMeRequest{})
		return err != nil
	})
	if status.Code(err) != codes.Unauthenticated || mesh.Reason(err) != string(mesh.TokenEnded) {
		t.Errorf("after: %v", err)
	}
	if answered.Load() == 0 || refused.Load() == 0 {
		t.Errorf("the interceptor saw %d answers and %d refusals", answered.Load(), refused.Load())
	}
}

func TestAMemberWaitsForItsIssuer(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	iss.SetDown(true)
	m, err := member.New(t.Context(), config(t, iss, "127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	conn, err := m.Dial(serve(t, m), mesh.PerCall())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := tokenv1.NewAccountServiceClient(conn)
	alice := mesh.WithBearer(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice", Scopes: []string{"account.read", "openid", "profile"}}))
	if _, err := client.GetMe(alice, &tokenv1.GetMeRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("while it is down: %v", err)
	}
	iss.SetDown(false)
	meshtest.Await(t, "its keys", func() bool {
		_, err := client.GetMe(alice, &tokenv1.GetMeRequest{})
		return err == nil
	})
}

func TestWhatAMemberNeeds(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	for name, spoil := range map[string]func(*member.Config){
		"Name":        func(c *member.Config) { c.Name = "" },
		"TLS":         func(c *member.Config) { c.TLS = nil },
		"Issuer":      func(c *member.Config) { c.Issuer = "" },
		"Secret":      func(c *member.Config) { c.Secret = "" },
		"Revocations": func(c *member.Config) { c.Revocations = "" },
	} {
		cfg := config(t, iss, "localhost:9100")
		spoil(&cfg)
		if _, err := member.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func config(t *testing.T, iss *meshtest.Issuer, revocations string) member.Config {
	return member.Config{
		Name: "billing", Issuer: iss.URL, Secret: "secret", Revocations: revocations,
		TLS: iss.CA.Files(t, t.TempDir(), "billing"), HTTPClient: &http.Client{Timeout: 5 * time.Second}, Logger: meshtest.Logger(t),
	}
}

// serve lets m serve until the test ends, and returns where.
func serve(t *testing.T, m *member.Member) (addr string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- m.Serve(ctx, lis, func(r grpc.ServiceRegistrar) { tokenv1.RegisterAccountServiceServer(r, me{}) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return lis.Addr().String()
}
