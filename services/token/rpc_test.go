package token_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
	"github.com/realguardio/realguardio/services/internal/page"
)

// rpc is the service's RPCs behind the real guard, with its own tokens.
type rpc struct {
	*server
	ca   *meshtest.CA
	addr string
	set  *revocation.Set
}

// serveRPC serves gRPC over mutual TLS, verifying against the service's own keys and its own revocation feed.
func (s *server) serveRPC() *rpc {
	s.t.Helper()
	r := &rpc{server: s, ca: meshtest.NewCA(s.t), set: revocation.NewSet(revocation.Config{Now: s.clock.Now})}
	ctx, cancel := context.WithCancel(context.Background())
	verifier, err := jwt.New(ctx, jwt.Config{Issuer: s.url, Audiences: []string{"urn:realguardio:api"}, Now: s.clock.Now})
	if err != nil {
		s.t.Fatal(err)
	}
	server, err := mesh.NewServer(mesh.ServerConfig{Name: "token", TLS: r.ca.Server(s.t, "token"), Verifier: verifier,
		Revocations: r.set, Denied: s.Denied, Logger: meshtest.Logger(s.t), DrainTime: time.Second, Now: s.clock.Now})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	r.addr = listener.Addr().String()
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ctx, listener) })
	running.Go(func() { _ = verifier.Run(ctx) })
	feed := revocation.NewFeed(r.dial("gateway"), r.set)
	running.Go(func() { _ = feed.Run(r.as(ctx, "gateway")) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	select {
	case <-feed.Synced():
	case <-time.After(10 * time.Second):
		s.t.Fatal("the revocation feed does not begin")
	}
	return r
}

func (r *rpc) dial(part string) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(credentials.NewTLS(r.ca.Client(r.t, part))))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as puts a workload's own token on calls.
func (r *rpc) as(ctx context.Context, part string) context.Context {
	r.t.Helper()
	return meshtest.As(ctx, r.machine(part, serviceSecret).str("access_token"))
}

// machine gets a client's own token.
func (s *server) machine(client, secret string) reply {
	s.t.Helper()
	return s.post("/oauth2/token", client, secret, url.Values{"grant_type": {"client_credentials"}})
}

// ends waits until the mesh refuses a token.
func (r *rpc) ends(t *testing.T, access string) {
	t.Helper()
	accounts := tokenv1.NewAccountServiceClient(r.dial("customer"))
	begun := time.Now()
	meshtest.Await(t, "the token is refused", func() bool {
		_, err := accounts.GetMe(meshtest.As(t.Context(), access), &tokenv1.GetMeRequest{})
		return status.Code(err) == codes.Unauthenticated
	})
	t.Logf("refused %v after the revocation was acknowledged", time.Since(begun))
}

// TestEveryMethodRefusesBadTokens serves the service's RPCs to the tokens of an issuer whose key the test has.
func TestEveryMethodRefusesBadTokens(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		before := s.published()
		meshtest.RefusesBadTokens(t, meshtest.Serve(t, meshtest.NewIssuer(t), meshtest.Part{Name: "token"}, s.Register))
		if after := s.published(); !slices.Equal(after, before) {
			t.Errorf("keys were %v and are %v", before, after)
		}
	})
}

// TestWhatEndsATokenEndsItEverywhere revokes in every way there is, and asks a verifier that only has the feed.
func TestWhatEndsATokenEndsItEverywhere(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		me := tokenv1.NewAccountServiceClient(r.dial("customer"))
		admin := tokenv1.NewAdminServiceClient(r.dial("customer"))
		alive := func(t *testing.T, access string) {
			t.Helper()
			if got, err := me.GetMe(meshtest.As(t.Context(), access), &tokenv1.GetMeRequest{}); err != nil || got.GetUser().GetEmail() != alice {
				t.Fatalf("not accepted to begin with: %v", err)
			}
		}
		t.Run("revoking the token", func(t *testing.T) {
			access := s.tokens().str("access_token")
			alive(t, access)
			s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {access}})
			r.ends(t, access)
		})
		t.Run("revoking the refresh token", func(t *testing.T) {
			tokens := s.tokens()
			alive(t, tokens.str("access_token"))
			s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {tokens.str("refresh_token")}})
			r.ends(t, tokens.str("access_token"))
		})
		t.Run("reuse of a refresh token", func(t *testing.T) {
			tokens := s.tokens()
			second := s.refresh(tokens.str("refresh_token"))
			alive(t, second.str("access_token"))
			s.clock.Advance(11 * time.Second)
			s.refresh(tokens.str("refresh_token"))
			r.ends(t, second.str("access_token"))
		})
		t.Run("signing out", func(t *testing.T) {
			b := s.browser()
			tokens := s.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
			alive(t, tokens.str("access_token"))
			b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
			r.ends(t, tokens.str("access_token"))
		})
		t.Run("revoking an API key", func(t *testing.T) {
			ctx := r.as(t.Context(), "customer")
			key, err := admin.CreateApiKey(ctx, &tokenv1.CreateApiKeyRequest{Owner: "cus_1", Name: "Script", Scopes: []string{"securitysystem.read"}})
			if err != nil {
				t.Fatal(err)
			}
			id, secret := key.GetApiKey().GetId(), s.logs.secret(key.GetSecret())
			access := s.machine(id, secret).str("access_token")
			if access == "" || !strings.HasPrefix(id, "rgk_") {
				t.Fatalf("key %s", id)
			}
			if _, err := admin.RevokeApiKey(ctx, &tokenv1.RevokeApiKeyRequest{Owner: "cus_2", Id: id}); status.Code(err) != codes.NotFound {
				t.Errorf("somebody else's key: %v", err)
			}
			refused(t, s.machine(id, "wrong"), 401, "invalid_client")
			for range 2 {
				revoked, err := admin.RevokeApiKey(ctx, &tokenv1.RevokeApiKeyRequest{Owner: "cus_1", Id: id})
				if err != nil || revoked.GetApiKey().GetRevokeTime() == nil {
					t.Fatalf("%v %v", revoked, err)
				}
			}
			refused(t, s.machine(id, secret), 401, "invalid_client")
			r.ends(t, access)
			listed, err := admin.ListApiKeys(ctx, &tokenv1.ListApiKeysRequest{Owner: "cus_1"})
			if err != nil || len(listed.GetApiKeys()) != 1 || listed.GetApiKeys()[0].GetId() != id {
				t.Errorf("listed %v, %v", listed, err)
			}
		})
	})
}

// TestARevocationCrossesReplicas revokes at one process and asks a verifier that hears from another.
func TestARevocationCrossesReplicas(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		here := start(t, st)
		there := begin(t, st, "127.0.0.1:0", here.clock, here.logs)
		r := there.serveRPC()
		access := here.machine("service", serviceSecret).str("access_token")
		stream, err := meshv1.NewRevocationServiceClient(r.dial("customer")).Watch(r.as(t.Context(), "customer"), &meshv1.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		here.post("/oauth2/revoke", "service", serviceSecret, url.Values{"token": {access}})
		begun := time.Now()
		for {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if len(m.GetRevocations()) == 1 {
				break
			}
		}
		t.Logf("heard at the other replica after %v", time.Since(begun))
	})
}

func TestAdminService(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		admin := tokenv1.NewAdminServiceClient(r.dial("customer"))
		ctx := r.as(t.Context(), "customer")

		t.Run("provisioning is idempotent, also at once", func(t *testing.T) {
			ids := map[string]bool{}
			var mu sync.Mutex
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					user, err := admin.ProvisionUser(ctx, &tokenv1.ProvisionUserRequest{Email: "New@acme.example", Name: "New", Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}})
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					ids[user.GetUser().GetId()] = true
				})
			}
			all.Wait()
			if len(ids) != 1 {
				t.Errorf("%d accounts", len(ids))
			}
			same, err := admin.ProvisionUser(ctx, &tokenv1.ProvisionUserRequest{Email: "new@ACME.example", Name: "Other"})
			if err != nil || same.GetUser().GetName() != "New" || !ids[same.GetUser().GetId()] || len(same.GetUser().GetRoles()) != 1 {
				t.Errorf("again: %v, %v", same, err)
			}
		})
		t.Run("what is no name is refused, and nobody has it", func(t *testing.T) {
			_, provisioning := admin.ProvisionUser(ctx, &tokenv1.ProvisionUserRequest{Email: "nul@acme.example", Name: "A\x00B"})
			_, naming := admin.CreateApiKey(ctx, &tokenv1.CreateApiKeyRequest{Owner: "cus_1", Name: "A\nB", Scopes: []string{"customer.read"}})
			_, owning := admin.CreateApiKey(ctx, &tokenv1.CreateApiKeyRequest{Owner: "cus\x00", Name: "A", Scopes: []string{"customer.read"}})
			_, revoking := admin.RevokeApiKey(ctx, &tokenv1.RevokeApiKeyRequest{Owner: "cus_1", Id: "rgk\x00"})
			for name, got := range map[string]struct {
				err  error
				want codes.Code
			}{
				"the name of a person": {provisioning, codes.InvalidArgument},
				"the name of a key":    {naming, codes.InvalidArgument},
				"the owner of a key":   {owning, codes.InvalidArgument},
				"the id of a key":      {revoking, codes.NotFound},
			} {
				if status.Code(got.err) != got.want {
					t.Errorf("%s: %v", name, got.err)
				}
			}
			if listed, err := admin.ListApiKeys(ctx, &tokenv1.ListApiKeysRequest{Owner: "cus\x00"}); err != nil || len(listed.GetApiKeys()) != 0 {
				t.Errorf("%v, %v", listed, err)
			}
		})
		t.Run("only the parts named may", func(t *testing.T) {
			if _, err := admin.ProvisionUser(r.as(t.Context(), "gateway"), &tokenv1.ProvisionUserRequest{Email: "x@acme.example", Name: "X"}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("another part: %v", err)
			}
			if _, err := admin.ProvisionUser(meshtest.As(t.Context(), s.tokens().str("access_token")), &tokenv1.ProvisionUserRequest{Email: "x@acme.example", Name: "X"}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("a person: %v", err)
			}
			if _, err := admin.ListClients(meshtest.As(t.Context(), s.tokens().str("access_token")), &tokenv1.ListClientsRequest{}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("a person who is no admin: %v", err)
			}
		})
		t.Run("a platform admin registers, lists and disables clients", func(t *testing.T) { clientsByAdmin(t, r, admin) })
	})
}

func clientsByAdmin(t *testing.T, r *rpc, admin tokenv1.AdminServiceClient) {
	s := r.server
	s.user("root@realguardio.example", "admin password", "REALGUARDIO_ADMIN")
	spec := []string{"scope", "openid admin"}
	secret, err := s.EnsureClient(t.Context(), adminConsole)
	if err != nil || secret != "" {
		t.Fatal(err)
	}
	to := s.browser().signIn(asks("console", webCallback, spec...), "root@realguardio.example", "admin password").location(t)
	access := s.post("/oauth2/token", "console", webSecret, redeems(s.logs.secret(to.Query().Get("code")), webCallback)).str("access_token")
	ctx := meshtest.As(t.Context(), access)

	made, err := admin.CreateClient(ctx, &tokenv1.CreateClientRequest{Name: "Reports", GrantTypes: []string{"client_credentials"},
		Scopes: []string{"customer.read"}, AccessTokenLifetime: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	id, secret := made.GetClient().GetClientId(), s.logs.secret(made.GetClientSecret())
	if got := s.machine(id, secret); got.status != http.StatusOK || got.json["expires_in"] != 60.0 || got.str("scope") != "customer.read" {
		t.Errorf("%d %s", got.status, got.body)
	}
	for field, bad := range map[string]*tokenv1.CreateClientRequest{
		"redirectUris": {Name: "X", GrantTypes: []string{"authorization_code"}},
		"scopes":       {Name: "X", GrantTypes: []string{"client_credentials"}, Scopes: []string{"nonsense"}},
		"grantTypes":   {Name: "X", GrantTypes: []string{"client_credentials"}, Public: true},
	} {
		if _, err := admin.CreateClient(ctx, bad); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, uri := range []string{"javascript:alert(1)", "data:text/html,x", "http://app.example.com/cb", "https://a@b/", "https://a/#x", "com.example.app:/cb", "//a", "https://a b/", "https://a;b/"} {
		if _, err := admin.CreateClient(ctx, &tokenv1.CreateClientRequest{Name: "X", GrantTypes: []string{"authorization_code"}, RedirectUris: []string{uri}}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", uri, err)
		}
	}
	var seen []string
	for token := ""; ; {
		listed, err := admin.ListClients(ctx, &tokenv1.ListClientsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range listed.GetClients() {
			seen = append(seen, c.GetClientId())
		}
		if token = listed.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("listed %v", seen)
	}
	if _, err := admin.ListClients(ctx, &tokenv1.ListClientsRequest{PageToken: "' OR 1=1"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("forged page token: %v", err)
	}
	for name, token := range map[string]string{"a NUL": page.Encode("clients", "\x00"), "another list's": page.Encode("customers", id), "of no list": page.Encode(id)} {
		if _, err := admin.ListClients(ctx, &tokenv1.ListClientsRequest{PageToken: token}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a page token, %s: %v", name, err)
		}
	}
	if _, err := admin.DisableClient(ctx, &tokenv1.DisableClientRequest{ClientId: "app\x00"}); status.Code(err) != codes.NotFound {
		t.Errorf("a NUL in an id: %v", err)
	}
	if _, err := admin.DisableClient(ctx, &tokenv1.DisableClientRequest{ClientId: "customer"}); status.Code(err) != codes.NotFound {
		t.Errorf("a part of the mesh is no application: %v", err)
	}
	if got, err := admin.DisableClient(ctx, &tokenv1.DisableClientRequest{ClientId: id}); err != nil || !got.GetClient().GetDisabled() {
		t.Errorf("%v %v", got, err)
	}
	refused(t, s.machine(id, secret), 401, "invalid_client")
}

// TestTheFeedResumes reads the log by hand: from where one left off, and from where nobody can have.
func TestTheFeedResumes(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		client := meshv1.NewRevocationServiceClient(r.dial("customer"))
		made := map[int64]*timestamppb.Timestamp{}
		watch := func(t *testing.T, after int64, epoch string) func() *meshv1.WatchResponse {
			ctx, cancel := context.WithTimeout(r.as(t.Context(), "customer"), 10*time.Second)
			t.Cleanup(cancel)
			stream, err := client.Watch(ctx, &meshv1.WatchRequest{After: after, Epoch: epoch, AfterTime: made[after]})
			if err != nil {
				t.Fatal(err)
			}
			return func() *meshv1.WatchResponse {
				m, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
		}
		revoke := func() {
			s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {s.tokens().str("access_token")}})
		}
		next := watch(t, 0, "")
		first := next()
		if !first.GetReset_() || first.GetHead() != 0 || first.GetEpoch() == "" {
			t.Fatalf("first: %v", first)
		}
		for want := int64(1); want <= 3; want++ {
			revoke()
			m := next()
			for len(m.GetRevocations()) == 0 && m.GetHead() == want-1 { // a heartbeat from before
				m = next()
			}
			if m.GetHead() != want || len(m.GetRevocations()) != 1 || m.GetRevocations()[0].GetNumber() != want || m.GetReset_() {
				t.Fatalf("pushed: %v", m)
			}
			made[want] = m.GetLastTime()
		}
		if m := next(); len(m.GetRevocations()) != 0 || m.GetHead() != 3 {
			t.Errorf("heartbeat: %v", m)
		}
		if m := watch(t, 2, first.GetEpoch())(); m.GetReset_() || len(m.GetRevocations()) != 1 || m.GetHead() != 3 {
			t.Errorf("resumed: %v", m)
		}
		if m := watch(t, 3, first.GetEpoch())(); m.GetReset_() || len(m.GetRevocations()) != 0 || m.GetHead() != 3 {
			t.Errorf("up to date: %v", m)
		}
		made[9] = made[3]
		fromTheFuture := watch(t, 9, first.GetEpoch())
		anotherEpoch := watch(t, 2, "other")
		known := made[2]
		made[2] = timestamppb.New(known.AsTime().Add(time.Microsecond))
		anotherEntry := watch(t, 2, first.GetEpoch())
		made[2] = nil
		noTime := watch(t, 2, first.GetEpoch())
		made[2] = known
		for name, m := range map[string]*meshv1.WatchResponse{
			"another epoch": anotherEpoch(), "from the future": fromTheFuture(), "another entry of that number": anotherEntry(), "no time": noTime(),
		} {
			if !m.GetReset_() || len(m.GetRevocations()) != 3 || m.GetHead() != 3 {
				t.Errorf("%s: %v", name, m)
			}
		}
		if _, err := client.Watch(t.Context(), &meshv1.WatchRequest{}); err == nil {
			stream, _ := client.Watch(t.Context(), &meshv1.WatchRequest{})
			if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
				t.Errorf("without a token: %v", err)
			}
		}
	})
}
