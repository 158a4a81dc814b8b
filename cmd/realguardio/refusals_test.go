package main_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// linkedServices are the services that are linked into this binary: ours, and those of libraries, such as health and
// reflection. A service that is new is among them.
func linkedServices(t *testing.T) (ours, others []protoreflect.ServiceDescriptor) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			if one := file.Services().Get(i); strings.HasPrefix(string(file.Package()), "realguardio.") {
				ours = append(ours, one)
			} else {
				others = append(others, one)
			}
		}
		return true
	})
	if len(ours) == 0 || len(others) == 0 {
		t.Fatalf("%d and %d services", len(ours), len(others))
	}
	return ours, others
}

// servedRules are the rules of the methods that each part answers at its own port. Every method of every service that is
// linked in must be served by some part, and by the gateway where it is declared edge and nowhere else.
func servedRules(t *testing.T, s *stand, ours []protoreflect.ServiceDescriptor) map[string][]mesh.Rule {
	t.Helper()
	policies, err := mesh.NewPolicies(ours...)
	if err != nil {
		t.Fatal(err)
	}
	conns := map[string]*grpc.ClientConn{}
	for part := range s.GRPC {
		conns[part] = s.dial(t, part)
	}
	served := map[string][]mesh.Rule{}
	for rule := range policies.All() {
		inside := 0
		for part, conn := range conns {
			code := status.Code(invoke(t.Context(), conn, rule, nil))
			if code != codes.Unauthenticated && code != codes.Unimplemented {
				t.Errorf("%s at %s, without a token: %v", rule.Method, part, code)
			}
			if part == "gateway" && rule.Edge != (code != codes.Unimplemented) {
				t.Errorf("%s at the gateway: %v, and edge is %t", rule.Method, code, rule.Edge)
			}
			if code == codes.Unimplemented {
				continue
			}
			served[part] = append(served[part], rule)
			if part != "gateway" {
				inside++
			}
		}
		if inside == 0 {
			t.Errorf("no part serves %s", rule.Method)
		}
	}
	return served
}

// TestNoBadCredentialGetsIn tries every method of the running installation, at the part itself and through the gateway,
// and every route of REST, with every credential that is wrong in one way, or was good until something ended it.
func TestNoBadCredentialGetsIn(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, "--data-dir", dir)
	good, id := s.userTokens(t, "alice")
	before := s.systems(t, bearer(good))
	f := newForger(t, s, dir, good)
	if got := s.systems(t, bearer(f.signed("at+jwt", nil))); len(got) != len(before) {
		t.Fatalf("what is forged is refused for another reason than it should be: %v", got)
	}
	ours, others := linkedServices(t)
	served := servedRules(t, s, ours)
	if got := s.systems(t, bearer(f.posing.Token(t, meshtest.Claims{Roles: []string{"REALGUARDIO_ADMIN"}, Scopes: []string{"securitysystem.read"}}))); len(got) < len(before) {
		t.Fatalf("nor is what is forged for somebody whom nobody knows: %v", got)
	}
	bad := append(f.all(good, id), s.endsEverywhere(t, f, dir, served, s.endings(t, good, before))...)
	every, shares := f.everything(), map[string]int{"gateway": 4}
	for part, rules := range served {
		t.Run("gRPC of "+part, func(t *testing.T) {
			refusesAll(t, s.dial(t, part), rules, bad, 1)
			refusesAll(t, s.dial(t, part), rules, every, max(1, shares[part]))
		})
		t.Run("gRPC of "+part+" without the right", func(t *testing.T) { deniesAll(t, f, s.dial(t, part), rules) })
		t.Run("what else is linked into "+part, func(t *testing.T) { onlyHealthAnswers(t, s.dial(t, part), others) })
	}
	for part, address := range s.Ops {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars"} {
			if a := call(t, s.http, http.MethodGet, address+path, nil); a.status != http.StatusNotFound {
				t.Errorf("%s of %s: %d", path, part, a.status)
			}
		}
	}
	t.Run("REST", func(t *testing.T) { refusesREST(t, s, routesOf(ours), bad) })
	after := s.systems(t, bearer(good))
	for name, one := range before {
		if after[name].Etag != one.Etag {
			t.Errorf("%s was changed: %+v", name, after[name])
		}
	}
	if len(after) != len(before) {
		t.Errorf("systems before %v, after %v", names(before), names(after))
	}
	stolen := s.endsEverywhere(t, f, dir, served, []ending{s.endOfKey(t)})
	for part, rules := range served {
		t.Run("gRPC of "+part+" by a key that was revoked", func(t *testing.T) { refusesAll(t, s.dial(t, part), rules, stolen, 1) })
	}
	t.Run("REST by a key that was revoked", func(t *testing.T) { refusesREST(t, s, routesOf(ours), stolen) })
	eventually(t, "who signs in now is let in", func() error {
		if a := call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil, bearer(s.tokenOf(t, "alice"))); a.status != http.StatusOK {
			return problem("%d", a.status)
		}
		return nil
	})
}

// userTokens signs a demo account in by the password grant and returns its access and ID token.
func (s *stand) userTokens(t *testing.T, name string) (access, id string) {
	t.Helper()
	trusted, user := s.client(t, "demo-trusted"), s.user(t, name)
	answered := post(t, s.http, s.Issuer+"/oauth2/token", url.Values{
		"grant_type": {"password"}, "username": {user.Username}, "password": {user.Password}, "scope": {strings.Join(trusted.Scopes, " ")},
	}, basic(trusted.ID, trusted.Secret))
	var got struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	answered.decode(t, &got)
	if got.Access == "" || got.ID == "" {
		t.Fatalf("answered %d\n%s", answered.status, answered.body)
	}
	return got.Access, got.ID
}

// refusesAll demands UNAUTHENTICATED, in words that do not tell why, of every method. Each unary one is shown one in share of
// the credentials, and the next one others; streams are shown all.
func refusesAll(t *testing.T, conn *grpc.ClientConn, rules []mesh.Rule, bad []badCredential, share int) {
	t.Helper()
	streams, tried := 0, 0
	for i, rule := range rules {
		if rule.Streaming {
			streams++
		}
		for j, credential := range bad {
			if !rule.Streaming && (i+j)%share != 0 {
				continue
			}
			tried++
			err := invoke(t.Context(), conn, rule, credential.values)
			if status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != status.Convert(mesh.Unauthenticated("")).Message() {
				t.Errorf("%s with %s: %v", rule.Method, credential.name, err)
			}
		}
	}
	t.Logf("%d methods, %d of them streams, %d credentials, %d calls", len(rules), streams, len(bad), tried)
}

// deniesAll demands PERMISSION_DENIED of every method, for every caller whose token is good and who lacks one thing that
// the method's rule asks for.
func deniesAll(t *testing.T, f *forger, conn *grpc.ClientConn, rules []mesh.Rule) {
	t.Helper()
	tried := 0
	for _, rule := range rules {
		lacking := f.lacking(rule)
		tried += len(lacking)
		for _, credential := range lacking {
			if err := invoke(t.Context(), conn, rule, credential.values); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s with %s: %v", rule.Method, credential.name, err)
			}
		}
		if len(lacking) == 0 {
			t.Errorf("%s asks for nothing", rule.Method)
		}
	}
	t.Logf("%d methods, %d callers", len(rules), tried)
}

// onlyHealthAnswers demands UNIMPLEMENTED of every service that is not ours, but health.
func onlyHealthAnswers(t *testing.T, conn *grpc.ClientConn, others []protoreflect.ServiceDescriptor) {
	t.Helper()
	if got, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health, without a token: %v, %v", got, err)
	}
	for _, service := range others {
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			if service.FullName() == "grpc.health.v1.Health" {
				continue
			}
			rule := mesh.Rule{Method: "/" + string(service.FullName()) + "/" + string(method.Name()), Streaming: method.IsStreamingClient() || method.IsStreamingServer()}
			if err := invoke(t.Context(), conn, rule, nil); status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %v", rule.Method, err)
			}
		}
	}
}

// invoke calls a method with an empty message, beside headers that claim to be somebody.
func invoke(ctx context.Context, conn *grpc.ClientConn, rule mesh.Rule, authorization []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.MD{
		"authorization": authorization, "x-user-id": {"alice"}, "x-forwarded-client-cert": {"URI=spiffe://realguardio/gateway"}, "grpcgateway-authorization": {"x"},
	})
	if !rule.Streaming {
		return conn.Invoke(ctx, rule.Method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, rule.Method)
	if err != nil {
		return err
	}
	_ = stream.SendMsg(&emptypb.Empty{}) // fails where the refusal is faster; it is what is received
	_ = stream.CloseSend()
	return stream.RecvMsg(&emptypb.Empty{})
}

// restRoute is a method and path, with something in the place of each variable.
type restRoute struct{ method, path string }

var variable = regexp.MustCompile(`\{[^}]*\}`)

// routesOf are the routes that the protos declare.
func routesOf(services []protoreflect.ServiceDescriptor) []restRoute {
	var all []restRoute
	add := func(rule *annotations.HttpRule) {
		for method, path := range map[string]string{
			http.MethodGet: rule.GetGet(), http.MethodPost: rule.GetPost(), http.MethodPut: rule.GetPut(),
			http.MethodPatch: rule.GetPatch(), http.MethodDelete: rule.GetDelete(),
		} {
			if path != "" {
				all = append(all, restRoute{method, variable.ReplaceAllString(path, "x")})
			}
		}
	}
	for _, service := range services {
		for i := range service.Methods().Len() {
			rule, _ := proto.GetExtension(service.Methods().Get(i).Options(), annotations.E_Http).(*annotations.HttpRule)
			if rule == nil {
				continue
			}
			add(rule)
			for _, more := range rule.GetAdditionalBindings() {
				add(more)
			}
		}
	}
	slices.SortFunc(all, func(a, b restRoute) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// refusesREST demands 401, or 400 where there are two credentials.
func refusesREST(t *testing.T, s *stand, routes []restRoute, bad []badCredential) {
	t.Helper()
	for _, route := range routes {
		for _, credential := range bad {
			with := func(r *http.Request) {
				r.Header["Authorization"] = credential.values
				r.Header.Set("X-User-Id", "alice")
				r.Header.Set("Grpc-Metadata-Authorization", "Bearer x")
			}
			a := s.unhurried(t, route, with)
			want := http.StatusUnauthorized
			if strings.HasPrefix(credential.name, "two tokens") {
				want = http.StatusBadRequest
			}
			challenged := strings.Contains(strings.Join(a.header.Values("WWW-Authenticate"), ","), credential.challenge())
			if a.status != want || challenged != (want == http.StatusUnauthorized) || !bytes.Contains(a.body, []byte(`"requestId"`)) {
				t.Errorf("%s %s with %s: %d %v\n%s", route.method, route.path, credential.name, a.status, a.header, a.body)
			}
		}
	}
	t.Logf("%d routes, %d credentials", len(routes), len(bad))
}

// unhurried makes a request again where the gateway says that there were too many.
func (s *stand) unhurried(t *testing.T, route restRoute, with ...as) (a answer) {
	t.Helper()
	eventually(t, "the gateway lets another request come", func() error {
		if a = call(t, s.http, route.method, s.Gateway+route.path, nil, with...); a.status == http.StatusTooManyRequests {
			return problem("%d", a.status)
		}
		return nil
	})
	return a
}

// TestARevokedKeyIsRefusedAtTheNextRequest makes an API key, uses it, and revokes it.
func TestARevokedKeyIsRefusedAtTheNextRequest(t *testing.T) {
	s := startDev(t, "--ephemeral")
	alice := bearer(s.tokenOf(t, "alice"))
	oakland := s.systems(t, alice)["Oakland"]
	keys := "/api/v1/customers/" + oakland.CustomerID + "/apikeys"
	meshtest.Within(t, 100*time.Millisecond, "the last request that is let in", func() (last time.Duration) {
		var made struct {
			APIKey struct{ ID string }
			Secret string
		}
		s.api(t, http.StatusCreated, http.MethodPost, keys, map[string]any{"name": "Script", "scopes": []string{"securitysystem.read"}}, alice).decode(t, &made)
		with := basic(made.APIKey.ID, made.Secret)
		s.systems(t, with)
		s.api(t, http.StatusOK, http.MethodDelete, keys+"/"+made.APIKey.ID, nil, alice)
		revoked := time.Now()
		eventually(t, "the key is refused", func() error {
			asked := time.Since(revoked)
			if a := call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil, with); a.status != http.StatusUnauthorized {
				last = asked
				return problem("%d", a.status)
			}
			return nil
		})
		return last
	})
}

// TestTheObjectRefusesByEveryRoute: eve's token is as valid as anybody's; what she was granted is nothing. Nor does it help
// to say that she is somebody else.
func TestTheObjectRefusesByEveryRoute(t *testing.T) {
	s := startDev(t, "--ephemeral")
	alice, eve := s.tokenOf(t, "alice"), s.tokenOf(t, "eve")
	oakland := s.systems(t, bearer(alice))["Oakland"]
	path := "/api/v1/securitysystems/" + oakland.ID
	pretending := func(r *http.Request) {
		for _, name := range []string{"X-User-Id", "X-Forwarded-User", "X-Remote-User", "Grpc-Metadata-X-User-Id", "Grpc-Metadata-Sub"} {
			r.Header.Set(name, s.user(t, "alice").Sub)
		}
		r.Header.Set("Grpc-Metadata-Authorization", "Bearer "+alice)
		r.Header.Set("Grpcgateway-Authorization", "Bearer "+alice)
	}
	browser := s.signIn(t, "eve")
	proof := s.csrfToken(t, browser)
	routes := map[string]func(method, path string) int{
		"a browser's session": func(method, path string) int {
			return call(t, browser, method, s.Gateway+path, nil, pretending, func(r *http.Request) { r.Header.Set("X-CSRF-Token", proof) }).status
		},
		"REST with a token": func(method, path string) int {
			return call(t, s.http, method, s.Gateway+path, nil, bearer(eve), pretending).status
		},
	}
	for route, request := range routes {
		for _, action := range []struct{ method, path string }{
			{http.MethodGet, path}, {http.MethodGet, path + "/events"}, {http.MethodPost, path + ":arm"}, {http.MethodPost, path + ":disarm"},
			{http.MethodPost, path + ":acknowledge"}, {http.MethodDelete, path},
		} {
			if got := request(action.method, action.path); got != http.StatusNotFound {
				t.Errorf("%s: %s %s answered %d", route, action.method, action.path, got)
			}
		}
	}
	for _, part := range []string{"gateway", "securitysystem"} {
		client := securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, part))
		ctx := metadata.AppendToOutgoingContext(withToken(t.Context(), eve), "x-user-id", s.user(t, "alice").Sub, "grpcgateway-authorization", "Bearer "+alice)
		_, get := client.GetSecuritySystem(ctx, &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: oakland.ID})
		_, arm := client.ArmSecuritySystem(ctx, &securitysystemv1.ArmSecuritySystemRequest{SecuritySystemId: oakland.ID})
		_, events := client.ListEvents(ctx, &securitysystemv1.ListEventsRequest{SecuritySystemId: oakland.ID})
		for what, err := range map[string]error{"get": get, "arm": arm, "events": events} {
			if status.Code(err) != codes.NotFound {
				t.Errorf("gRPC of %s: %s: %v", part, what, err)
			}
		}
	}
	if after := s.systems(t, bearer(alice))["Oakland"]; after.Etag != oakland.Etag {
		t.Errorf("a refused request changed the system: %+v", after)
	}
}
