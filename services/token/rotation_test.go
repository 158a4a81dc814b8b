package token_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token/keys"
)

// unreliable is a network that a test can take away.
type unreliable struct{ down atomic.Bool }

var errNetwork = errors.New("the network is down")

func (u *unreliable) RoundTrip(r *http.Request) (*http.Response, error) {
	if u.down.Load() {
		return nil, errNetwork
	}
	return http.DefaultTransport.RoundTrip(r)
}

// resource is a part whose guard fetches the issuer's keys over a network of its own.
type resource struct {
	verifier *jwt.Verifier
	network  *unreliable
	conn     *grpc.ClientConn
}

func (s *server) serveResource() *resource {
	s.t.Helper()
	r := &resource{network: &unreliable{}}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	r.verifier, err = jwt.New(ctx, jwt.Config{
		Issuer: s.url, Audiences: []string{"urn:realguardio:api"}, HTTPClient: &http.Client{Transport: r.network},
		Refresh: 20 * time.Millisecond, Now: s.clock.Now,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = r.verifier.Run(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	iss := meshtest.NewIssuer(s.t) // for its certificates
	srv := meshtest.Serve(s.t, iss, meshtest.Part{Name: "securitysystem", Configure: func(c *mesh.ServerConfig) {
		c.Verifier, c.Now = r.verifier, s.clock.Now
	}}, func(g grpc.ServiceRegistrar) {
		securitysystemv1.RegisterSecuritySystemServiceServer(g, noSystems{})
	})
	r.conn, err = grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(credentials.NewTLS(iss.CA.Client(s.t, "gateway"))))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.conn.Close() })
	return r
}

// noSystems is a part that has none to list.
type noSystems struct {
	securitysystemv1.UnimplementedSecuritySystemServiceServer // one RPC of it is called
}

func (noSystems) ListSecuritySystems(context.Context, *securitysystemv1.ListSecuritySystemsRequest) (*securitysystemv1.ListSecuritySystemsResponse, error) {
	return &securitysystemv1.ListSecuritySystemsResponse{}, nil
}

// call lists systems with a token.
func (r *resource) call(ctx context.Context, token string) error {
	_, err := securitysystemv1.NewSecuritySystemServiceClient(r.conn).ListSecuritySystems(meshtest.As(ctx, token), &securitysystemv1.ListSecuritySystemsRequest{})
	return err
}

// TestRotationFailsNoCallWhileKeysCannotBeFetched has callers get tokens and use them at a guard, and rotates the keys
// while that guard cannot fetch them: it has known the next key since that was published.
func TestRotationFailsNoCallWhileKeysCannotBeFetched(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		admin, ctx := tokenv1.NewAdminServiceClient(r.dial("customer")), r.asAdmin(t)
		guarded := s.serveResource()
		calls, stop := atomic.Int64{}, make(chan struct{})
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				var tokens []string
				for {
					select {
					case <-stop:
						return
					default:
					}
					tokens = append(tokens, s.machine("service", serviceSecret).str("access_token"))
					for _, token := range tokens[max(0, len(tokens)-3):] { // the older ones are of the key of before
						if err := guarded.call(t.Context(), token); err != nil {
							t.Errorf("call %d: %v", calls.Load(), err)
							return
						}
						calls.Add(1)
					}
				}
			})
		}
		fetched := func(more uint64) func() bool {
			want := guarded.verifier.Stats().Fetches + more
			return func() bool { return guarded.verifier.Stats().Fetches >= want }
		}
		for range 3 {
			meshtest.Await(t, "the guard has fetched the next key", fetched(2))
			before := keys.IDOf(s.machine("service", serviceSecret).str("access_token"))
			guarded.network.down.Store(true)
			meshtest.Await(t, "a fetch has failed", fetched(2))
			if _, err := admin.RotateSigningKeys(ctx, &tokenv1.RotateSigningKeysRequest{}); err != nil {
				t.Fatal(err)
			}
			meshtest.Await(t, "the new key signs", func() bool { return s.signedBy("service") != before })
			since := calls.Load()
			meshtest.Await(t, "calls with tokens of the new key", func() bool { return calls.Load() > since+20 || t.Failed() })
			guarded.network.down.Store(false)
			s.clock.Advance(121 * time.Second)
			meshtest.Await(t, "the revocation feed is heard again", func() bool { return !r.set.Stale() })
		}
		close(stop)
		callers.Wait()
		got := guarded.verifier.Stats()
		t.Logf("%d calls; %+v", calls.Load(), got)
		if got.Refused > 0 || got.FetchFailures == 0 {
			t.Errorf("got %+v", got)
		}
	})
}
