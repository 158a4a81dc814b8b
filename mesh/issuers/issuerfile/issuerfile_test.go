package issuerfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// write writes a file and returns its path; DIR in its text becomes its folder.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"issuers.yaml": strings.ReplaceAll(text, "DIR", dir), "secret": "the-secret\n", "empty": "\n",
		"key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "issuers.yaml")
}

func TestAFileSaysWhoIsTrustedAndHowFar(t *testing.T) {
	list, err := issuerfile.Read(write(t, `
- name: acme
  issuer: https://id.acme.example/realms/acme
  product: keycloak
  required: true
  audiences: [urn:realguardio:api]
  algorithms: [RS256, PS256]
  require: [{claim: azp, is: [web, cli]}]
  roles:
    from: [realm_access.roles, [resource_access, my.app, roles]]
    rename: {alarm-admin: REALGUARDIO_ADMIN}
    prefix: "acme:"
  workloads: {their-billing: billing}
- name: bolt
  issuer: https://bolt.example/
  jwks-url: https://bolt.example/keys
  audiences: [urn:realguardio:api]
  client: [cid, azp]
  subject: uid
  audience-claim: https://bolt.example/for
  client-if: [{claim: scp, absent: true}]
  scopes: {from: scp, allow: [customer.read]}
  introspection: {url: https://bolt.example/introspect, client-id: us, client-secret-file: DIR/secret, prefix: bolt_, remember: 5s, streams: 1m, no-expiry: true}
- name: corp
  issuer: http://localhost:1/corp
  audiences: [a]
  introspection: {client-id: us, private-key-file: DIR/key.pem, key-id: k1}
`), false)
	if err != nil {
		t.Fatal(err)
	}
	if acme := list[0]; acme.Name != "acme" || !acme.Required || acme.Introspection != nil || acme.JWT.Issuer != "https://id.acme.example/realms/acme" ||
		!slices.Equal(acme.JWT.Algorithms, []string{"RS256", "PS256"}) {
		t.Errorf("acme: got %+v", acme)
	}
	keycloak := claims.Keycloak()
	keycloak.Namespace = "acme"
	keycloak.Require = append(keycloak.Require, claims.Match{Claim: claims.Path{"azp"}, Values: []string{"web", "cli"}})
	keycloak.Roles = claims.Names{
		From:   []claims.Path{{"realm_access", "roles"}, {"resource_access", "my.app", "roles"}},
		Rename: map[string]string{"alarm-admin": "REALGUARDIO_ADMIN"}, Prefix: "acme:",
	}
	keycloak.Workloads = map[string]string{"their-billing": "billing"}
	if diff := cmp.Diff(&keycloak, list[0].JWT.Claims); diff != "" {
		t.Errorf("acme (-want +got):\n%s", diff)
	}
	bolt := list[1]
	want := &claims.Mapping{
		Namespace: "bolt", Client: []claims.Path{{"cid"}, {"azp"}}, Subject: []claims.Path{{"uid"}}, Audience: claims.Path{"https://bolt.example/for"},
		ClientIf: []claims.Match{{Claim: claims.Path{"scp"}, Absent: true}}, Scopes: claims.Names{From: []claims.Path{{"scp"}}, Allow: []string{"customer.read"}},
	}
	if diff := cmp.Diff(want, bolt.JWT.Claims); diff != "" {
		t.Errorf("bolt (-want +got):\n%s", diff)
	}
	if in := bolt.Introspection; bolt.OpaquePrefix != "bolt_" || in.Secret != "the-secret" || in.TTL != 5*time.Second || in.MaxLife != time.Minute || !in.NoExpiry || in.URL != "https://bolt.example/introspect" {
		t.Errorf("bolt's introspection: got %+v", in)
	}
	if in := list[2].Introspection; in.Key == nil || in.KeyID != "k1" || in.Secret != "" {
		t.Errorf("corp's introspection: got %+v", in)
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{name: "what nobody knows", text: "- name: a\n  issuers: x\n  roles: {form: x}\n  introspection: {secret: x}\n", want: []string{"line 2: issuers: unknown setting", "line 3: form: unknown setting", "line 4: secret: unknown setting"}},
		{name: "nothing", text: "", want: []string{"names no issuer"}},
		{name: "one thing twice", text: "- name: a\n  name: b\n", want: []string{`"name" already`}},
		{name: "two documents", text: "- name: a\n---\n- name: b\n", want: []string{"single YAML document"}},
		{name: "no YAML", text: "- name: [", want: []string{"yaml:"}},
		{name: "an empty entry", text: "- {}\n", want: []string{
			"issuer 1 (without a name): name is missing", "issuer must be an absolute https URL", "audiences is missing",
		}},
		{name: "one issuer twice", text: "- {name: a, issuer: 'https://x', audiences: [a]}\n- {name: b, issuer: 'https://x', audiences: [a]}\n", want: []string{"issuer 2 (b): its name or its issuer stands there already"}},
		{name: "many things", text: `
- {name: A_, issuer: "http://id.acme.example", audiences: [""], product: keycloack, algorithms: [HS256], ca-file: DIR/none}
- {name: b, issuer: "https://id.acme.example?x=1", audiences: [a], types: [JWT], roles: {prefix: X}, introspection: {client-secret-file: DIR/empty, remember: 1h, streams: -1s, url: "http://x"}}
- {name: c, issuer: "https://c", audiences: [a], introspection: {client-id: c, private-key-file: DIR/secret}}
`, want: []string{
			"issuer 1 (A_): issuer is not https", "issuer 1 (A_): audiences is missing, or has an empty one", `issuer 1 (A_): product "keycloack" is not known`,
			`issuer 1 (A_): algorithm "HS256" is not known`, "issuer 1 (A_): ca-file",
			"issuer 2 (b): issuer must be an absolute https URL", `issuer 2 (b): type "JWT" needs a required claim`, `issuer 2 (b): roles: prefix "X" must end in ':'`,
			"issuer 2 (b): introspection: client-id is missing", "issuer 2 (b): introspection: client-secret-file:", "issuer 2 (b): introspection: remember must be",
			"issuer 2 (b): introspection: streams", "issuer 2 (b): introspection: url is not https",
			"issuer 3 (c): introspection: private-key-file:",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := issuerfile.Read(write(t, tt.text), false)
			if err == nil {
				t.Fatal("it was accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			for _, want := range tt.want {
				if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, want) }) {
					t.Errorf("got:\n%v\nwant a line with %q", err, want)
				}
			}
			if len(lines) != len(tt.want) || strings.Contains(err.Error(), "the-secret") {
				t.Errorf("got %d lines, want %d:\n%v", len(lines), len(tt.want), err)
			}
		})
	}
}

// TestAServiceTrustsWhomItsFileNames is the whole way: two issuers over HTTP, a file, a verifier.
func TestAServiceTrustsWhomItsFileNames(t *testing.T) {
	ours, acme := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	list, err := issuerfile.Read(write(t, `
- name: acme
  issuer: `+acme.URL+`
  audiences: [`+meshtest.Audience+`]
  roles: {allow: [staff]}
`), false)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := issuerfile.Open(t.Context(), list, meshtest.Logger(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := issuers.New(issuers.Config{Trusted: append([]issuers.Trusted{{JWT: ours.Verifier(t, "greeter"), Required: true}}, trusted...)})
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(t.Context(), acme.Token(t, meshtest.Claims{Subject: "42", ClientID: "web", Roles: []string{"staff", "REALGUARDIO_ADMIN"}, Scopes: []string{"admin"}}))
	if err != nil || id.Subject != "acme:42" || id.Kind != mesh.KindUser || !slices.Equal(id.Roles, []string{"staff"}) || len(id.Scopes) > 0 {
		t.Errorf("got %+v, %v", id, err)
	}
	if id, err := v.Verify(t.Context(), ours.Token(t, meshtest.Claims{Subject: "42"})); err != nil || id.Subject != "42" {
		t.Errorf("ours: got %+v, %v", id, err)
	}
}

// TestThePageShowsFilesThatAreRead holds docs/foreign-issuers.md to what it describes.
func TestThePageShowsFilesThatAreRead(t *testing.T) {
	page, err := os.ReadFile("../../../docs/foreign-issuers.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(files) < 4 {
		t.Fatalf("the page has %d files", len(files))
	}
	for _, file := range files {
		text := regexp.MustCompile(`secrets/\w+`).ReplaceAllString(file[1], "DIR/secret")
		text = regexp.MustCompile(`(?m)^.*ca-file.*\n`).ReplaceAllString(text, "")
		if _, err := issuerfile.Read(write(t, text), false); err != nil {
			t.Errorf("%s\nis refused: %v", file[1], err)
		}
	}
	for _, product := range []string{"keycloak", "okta", "auth0", "entra", "cognito"} {
		if _, known := claims.Preset(product); !known || !strings.Contains(string(page), "\n| `"+product+"` |") {
			t.Errorf("the page does not say what %s is", product)
		}
	}
}
