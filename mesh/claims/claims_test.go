package claims_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
)

// read reads a token's claims as package jwt does.
func read(t *testing.T, cfg claims.Config, typ, token string) (mesh.Identity, error) {
	t.Helper()
	r, err := claims.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !r.TypeAccepted(typ, typ != "") {
		return mesh.Identity{}, claims.Refused("wrong_type", typ)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(token), &members); err != nil {
		t.Fatal(err)
	}
	return r.Read(members, "header.payload", clock)
}

// cause is the word for metrics of a refusal, "" for none.
func cause(err error) string {
	var c interface{ Cause() string }
	if errors.As(err, &c) {
		return c.Cause()
	}
	return fmt.Sprint(map[bool]any{true: "", false: err}[err == nil])
}

// token is a token by RFC 9068 with these claims over it; nil removes one.
func token(over map[string]any) string {
	all := map[string]any{
		"iss": "https://id.example", "sub": "42", "client_id": "web", "jti": "t1", "aud": "urn:greeter", "exp": clock.Unix() + 60, "iat": clock.Unix(),
	}
	maps.Copy(all, over)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	raw, _ := json.Marshal(all)
	return string(raw)
}

type m = map[string]any

// TestAForeignIssuerGivesNothingThatIsNotMapped has an issuer that is trusted for who its people are, and tries everything.
func TestAForeignIssuerGivesNothingThatIsNotMapped(t *testing.T) {
	got, err := read(t, claims.Config{Issuer: "https://id.example", Audiences: []string{"urn:greeter"}, Mapping: &claims.Mapping{Namespace: "acme"}}, "at+jwt", token(m{
		"sub": "u-admin", "client_id": "customer", "caller": "workload", "roles": []string{"REALGUARDIO_ADMIN"}, "scope": "admin customer.write", "acr": "mfa",
		"gid": "g1", "epoch": 9, "derived_from": []string{"t9"}, "derived_keys": []string{"k9"}, "act": m{"sub": "gateway"}, "sid": "s1", "jti": "rgo_t1",
		"email": "admin@realguardio.example",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != mesh.KindUser || got.Subject != "acme:u-admin" || got.ClientID != "acme:customer" || got.TokenID != "acme:rgo_t1" || got.SessionID != "acme:s1" ||
		len(got.Roles)+len(got.Scopes) > 0 || got.ACR != "" || got.GrantID != "" || got.Epoch != 0 || len(got.DerivedFrom)+len(got.DerivedKeys) > 0 ||
		!slices.Equal(got.Actors, []string{"acme:gateway"}) || got.Email != "" {
		t.Errorf("got %+v", got)
	}
}

func TestWhoStandsBehindAForeignToken(t *testing.T) {
	mapping := claims.Mapping{
		Namespace: "acme", ClientIf: []claims.Match{{Claim: claims.Path{"gty"}, Values: []string{"client-credentials"}}},
		Workloads: map[string]string{"their-billing": "billing"},
	}
	for _, tt := range []struct {
		name    string
		over    m
		kind    mesh.Kind
		subject string
		cause   string
	}{
		{name: "a subject of its own is a person", kind: mesh.KindUser, subject: "acme:42"},
		{name: "a client that is its own subject", over: m{"sub": "web"}, kind: mesh.KindClient, subject: "acme:web"},
		{name: "a token without a subject is its client's", over: m{"sub": nil}, kind: mesh.KindClient, subject: "acme:web"},
		{name: "a claim tells a client by another subject", over: m{"gty": "client-credentials", "sub": "web@clients"}, kind: mesh.KindClient, subject: "acme:web"},
		{name: "another value of that claim does not", over: m{"gty": "password"}, kind: mesh.KindUser, subject: "acme:42"},
		{name: "a client called as one of ours is none of ours", over: m{"sub": "billing", "client_id": "billing"}, kind: mesh.KindClient, subject: "acme:billing"},
		{name: "a client that is mapped is a workload", over: m{"sub": "their-billing", "client_id": "their-billing"}, kind: mesh.KindWorkload, subject: "billing"},
		{name: "a person by that client is no workload", over: m{"client_id": "their-billing"}, kind: mesh.KindUser, subject: "acme:42"},
		{name: "the authorized party names the client", over: m{"client_id": nil, "azp": "spa"}, kind: mesh.KindUser, subject: "acme:42"},
		{name: "nobody names the client", over: m{"client_id": nil}, cause: "malformed"},
		{name: "a subject that is a number", over: m{"sub": 42}, cause: "malformed"},
		{name: "a subject with a line break", over: m{"sub": "42\nadmin"}, cause: "malformed"},
		{name: "a subject that is too long", over: m{"sub": strings.Repeat("4", 256)}, cause: "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, claims.Config{Issuer: "https://id.example", Audiences: []string{"urn:greeter"}, Mapping: &mapping}, "at+jwt", token(tt.over))
			if got.Kind != tt.kind || got.Subject != tt.subject || cause(err) != tt.cause {
				t.Errorf("got %s %q, %v; want %s %q, %q", got.Kind, got.Subject, err, tt.kind, tt.subject, tt.cause)
			}
		})
	}
}

func TestRolesAreTakenFromWhereTheyStand(t *testing.T) {
	for _, tt := range []struct {
		name  string
		roles claims.Names
		over  m
		want  []string
		cause string
	}{
		{name: "inside of another claim", roles: claims.Names{From: paths("realm_access.roles"), Allow: []string{"a", "b"}}, over: m{"realm_access": m{"roles": []string{"a", "b", "c"}}}, want: []string{"a", "b"}},
		{name: "a name with dots is one by its path", roles: claims.Names{From: []claims.Path{{"resource_access", "my.app", "roles"}}, Allow: []string{"a"}}, over: m{"resource_access": m{"my.app": m{"roles": []string{"a"}}}}, want: []string{"a"}},
		{name: "a name that is a URL", roles: claims.Names{From: paths("https://acme.example/roles"), Allow: []string{"a"}}, over: m{"https://acme.example/roles": []string{"a"}}, want: []string{"a"}},
		{name: "words in a string", roles: claims.Names{From: paths("groups"), Allow: []string{"*"}}, over: m{"groups": "a b"}, want: []string{"a", "b"}},
		{name: "from several claims, each once", roles: claims.Names{From: paths("x", "y"), Allow: []string{"*"}}, over: m{"x": []string{"a"}, "y": []string{"a", "b"}}, want: []string{"a", "b"}},
		{name: "a prefix makes them theirs", roles: claims.Names{Prefix: "acme:"}, over: m{"roles": []string{"REALGUARDIO_ADMIN"}}, want: []string{"acme:REALGUARDIO_ADMIN"}},
		{name: "another name, where the mapping gives one", roles: claims.Names{Rename: map[string]string{"boss": "REALGUARDIO_ADMIN"}}, over: m{"roles": []string{"boss", "REALGUARDIO_ADMIN"}}, want: []string{"REALGUARDIO_ADMIN"}},
		{name: "none that is not allowed", roles: claims.Names{Allow: []string{"a"}}, over: m{"roles": []string{"*", "A", "a ", ""}}},
		{name: "a claim that is not there", roles: claims.Names{From: paths("a.b.c"), Allow: []string{"*"}}, over: m{"a": m{"b": "x"}}},
		{name: "null", roles: claims.Names{Allow: []string{"*"}}, over: m{"roles": json.RawMessage("null")}},
		{name: "a list of other things", roles: claims.Names{Allow: []string{"*"}}, over: m{"roles": []any{"a", 1}}, cause: "malformed"},
		{name: "an object", roles: claims.Names{Allow: []string{"*"}}, over: m{"roles": m{"a": true}}, cause: "malformed"},
		{name: "thousands", roles: claims.Names{Allow: []string{"*"}}, over: m{"roles": strings.Repeat("a ", 513)}, cause: "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mapping := claims.Mapping{Namespace: "acme", Roles: tt.roles}
			got, err := read(t, claims.Config{Issuer: "https://id.example", Audiences: []string{"urn:greeter"}, Mapping: &mapping}, "at+jwt", token(tt.over))
			if !slices.Equal(got.Roles, tt.want) || cause(err) != tt.cause {
				t.Errorf("got %q, %v; want %q, %q", got.Roles, err, tt.want, tt.cause)
			}
		})
	}
}

func paths(names ...string) []claims.Path {
	var all []claims.Path
	for _, n := range names {
		all = append(all, claims.ParsePath(n))
	}
	return all
}

func TestATokenWithoutAnIDGetsOne(t *testing.T) {
	got, err := read(t, claims.Config{Issuer: "https://id.example", Audiences: []string{"urn:greeter"}, Mapping: &claims.Mapping{Namespace: "acme"}}, "at+jwt", token(m{"jti": nil}))
	if err != nil || got.TokenID != "acme:sha256-4_68V_O9SLSN8UsnH5kFqyV0IithWudmqptgbzg6SpM" {
		t.Errorf("got %q, %v", got.TokenID, err)
	}
}

func TestAMappingThatWouldLetInWhatItShouldNot(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mapping claims.Mapping
		want    string
	}{
		{name: "JWT as a type, with nothing that tells access tokens", mapping: claims.Mapping{Types: []string{"JWT"}}, want: "needs a required claim"},
		{name: "no type, with nothing but an absence", mapping: claims.Mapping{Types: []string{""}, Require: []claims.Match{{Claim: claims.Path{"nonce"}, Absent: true}}}, want: "needs a required claim"},
		{name: "the type of another kind of token", mapping: claims.Mapping{Types: []string{"logout+jwt"}}, want: "must be at+jwt, JWT or empty"},
		{name: "a prefix that roles of ours may have", mapping: claims.Mapping{Roles: claims.Names{Prefix: "REALGUARDIO_"}}, want: "must end in ':'"},
		{name: "a role with a space", mapping: claims.Mapping{Roles: claims.Names{Allow: []string{"a b"}}}, want: "has a space"},
		{name: "a namespace that ends in the separator", mapping: claims.Mapping{Namespace: "acme:"}, want: "namespace"},
		{name: "a path without a name", mapping: claims.Mapping{Subject: []claims.Path{{"a", ""}}}, want: "not the name of a claim"},
		{name: "a workload without a name", mapping: claims.Mapping{Workloads: map[string]string{"x": ""}}, want: "workloads"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := claims.New(claims.Config{Issuer: "https://id.example", Audiences: []string{"urn:greeter"}, Mapping: &tt.mapping})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
