package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/authority"
	"github.com/realguardio/realguardio/mesh"
)

// ending is an event that ends tokens which were good until then.
type ending struct {
	name string
	// of is what such a token says, for a caller of each kind that can have one.
	of  map[mesh.Kind]map[string]any
	end func(t *testing.T)
}

// endings are the events that end what one caller has, and leave everybody else alone. good is a token of who administers
// the systems.
func (s *stand) endings(t *testing.T, good string, systems map[string]system) []ending {
	t.Helper()
	admin, revoked := bearer(s.tokenOf(t, "admin")), s.tokenOf(t, "victor")
	mary, mobile, key := s.user(t, "mary").Sub, s.client(t, "demo-mobile").ID, s.APIKeys[0].Key
	var invoices struct{ Name string }
	runJSON(t, &invoices, s.here("workloads", "register", "invoices")...)
	disable := func(path string) func(*testing.T) {
		return func(t *testing.T) { s.api(t, http.StatusOK, http.MethodPost, path+":disable", map[string]any{}, admin) }
	}
	return []ending{
		{
			name: "a token that was revoked", of: map[mesh.Kind]map[string]any{mesh.KindUser: saidIn(t, revoked, 1)},
			end: func(t *testing.T) { s.revoke(t, revoked) },
		}, {
			name: "a token whose person was disabled", of: map[mesh.Kind]map[string]any{mesh.KindUser: {"sub": mary}},
			end: disable("/api/v1/users/" + mary),
		}, {
			name: "a token whose client was disabled", of: map[mesh.Kind]map[string]any{mesh.KindUser: {"client_id": mobile}},
			end: disable("/api/v1/clients/" + mobile),
		}, {
			name: "a token of an API key that was revoked",
			of:   map[mesh.Kind]map[string]any{mesh.KindClient: {"sub": key, "client_id": key}},
			end: func(t *testing.T) {
				path := "/api/v1/customers/" + systems["Oakland"].CustomerID + "/apikeys/" + key
				s.api(t, http.StatusOK, http.MethodDelete, path, nil, bearer(good))
			},
		}, {
			name: "a token of a service that was disabled",
			of:   map[mesh.Kind]map[string]any{mesh.KindWorkload: {"sub": invoices.Name, "client_id": invoices.Name}},
			end:  func(t *testing.T) { runJSON(t, &invoices, s.here("workloads", "disable", invoices.Name)...) },
		},
	}
}

// endOfKey ends everything that has been signed so far.
func (s *stand) endOfKey(t *testing.T) ending {
	t.Helper()
	return ending{
		name: "a token by a key that was revoked",
		of:   map[mesh.Kind]map[string]any{mesh.KindUser: {}, mesh.KindWorkload: {"sub": "customer", "client_id": "customer"}},
		end: func(t *testing.T) {
			var all []struct{ ID, Alg, Status string }
			runJSON(t, &all, s.here("keys", "rotate", "--alg", "ES256")...)
			runJSON(t, &all, s.here("keys", "list")...)
			for _, k := range all {
				if k.Alg == "ES256" && k.Status == "retired" {
					var revoked []struct{ ID string }
					runJSON(t, &revoked, s.here("keys", "revoke", k.ID)...)
				}
			}
		},
	}
}

// endsEverywhere opens every stream that there is, at every part that serves it, for every kind of caller that may, lets the
// events come, and demands that each stream ends. It returns the tokens that have ended, of which every part has heard.
func (s *stand) endsEverywhere(t *testing.T, f *forger, dir string, served map[string][]mesh.Rule, events []ending) []badCredential {
	t.Helper()
	authority, err := authority.Open(filepath.Join(dir, "tls"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var ended []badCredential
	tried := map[string]bool{}
	for _, e := range events {
		running := map[string]grpc.ClientStream{}
		for part, rules := range served {
			for _, rule := range rules {
				for kind, said := range e.of {
					if !rule.Streaming || !slices.Contains(rule.Callers, kind) {
						continue
					}
					conn := s.dial(t, part)
					if name, _ := said["sub"].(string); kind == mesh.KindWorkload {
						conn = s.dialAs(t, part, authority, name)
					}
					name := fmt.Sprintf("%s at %s with %s, of a %s", rule.Method, part, e.name, kind)
					running[name] = begun(t, name, conn, rule, f.of(kind, rule.AllScopes, rule.AnyRole, said))
					tried[rule.Method] = true
				}
			}
		}
		e.end(t)
		for name, stream := range running {
			err := error(nil)
			for err == nil {
				err = stream.RecvMsg(&emptypb.Empty{})
			}
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s ended with %v", name, err)
			}
		}
		for kind, said := range e.of {
			token := []string{"Bearer " + f.signed("at+jwt", merged(callers[kind], said))}
			ended = append(ended, badCredential{e.name + ", of a " + string(kind), token})
			s.haveHeard(t, served, token)
		}
	}
	for _, rules := range served {
		for _, rule := range rules {
			if rule.Streaming && !tried[rule.Method] {
				t.Errorf("%s did not run while anything ended", rule.Method)
			}
		}
	}
	return ended
}

// begun is a stream that runs: its first message has come.
func begun(t *testing.T, name string, conn *grpc.ClientConn, rule mesh.Rule, token string) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(withToken(t.Context(), token), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, rule.Method)
	if err == nil {
		_ = stream.SendMsg(&emptypb.Empty{}) // fails where the refusal is faster; it is what is received
		_ = stream.CloseSend()
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	if err != nil {
		t.Fatalf("%s does not begin: %v", name, err)
	}
	return stream
}

// haveHeard waits until every part refuses a token.
func (s *stand) haveHeard(t *testing.T, served map[string][]mesh.Rule, authorization []string) {
	t.Helper()
	for part, rules := range served {
		conn := s.dial(t, part)
		eventually(t, part+" has heard that a token has ended", func() error {
			if err := invoke(t.Context(), conn, rules[0], authorization); status.Code(err) != codes.Unauthenticated {
				return problem("%v", err)
			}
			return nil
		})
	}
}

// dialAs connects to a part with the certificate of another.
func (s *stand) dialAs(t *testing.T, part string, ca *authority.Authority, name string) *grpc.ClientConn {
	t.Helper()
	files, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	config, err := files.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(s.GRPC[part], grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func merged(of ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, one := range of {
		maps.Copy(all, one)
	}
	return all
}
