package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const foreignClients = "../examples/clients"

// programs are where the programs and tests of each client are, in the order of the table's columns.
var programs = []struct {
	client string
	files  []string
}{
	{"openid-client", []string{"node/openid-client.test.mjs", "node/openid-client/*.mjs", "node/bound.test.mjs"}},
	{"oauth4webapi", []string{"node/oauth4webapi.test.mjs", "node/oauth4webapi/*.mjs", "node/bound.test.mjs"}},
	{"oidc-client-ts", []string{"node/oidc-client-ts.test.mjs", "node/oidc-client-ts/*.mjs"}},
	{"go-oidc + x/oauth2", []string{"go/*.go"}},
	{"oauth2-proxy", []string{"oauth2-proxy/proxy_test.go", "oauth2-proxy/oauth2-proxy.cfg"}},
}

// doneBy is what of a client's does something: whoever does not call or set that cannot claim to do it. An empty one is
// what the client is not shown to do.
var doneBy = map[string][5]string{
	"Discovery from the issuer's URL":               {`client.discovery(`, `discoveryRequest(`, `authority: issuer`, `oidc.NewProvider(`, `"--oidc-issuer-url"`},
	"Code, PKCE and `state`":                        {`authorizationCodeGrant(`, `authorizationCodeGrantRequest(`, `signinCallback(`, `VerifierOption(`, `code_challenge_method = "S256"`},
	"The answer's `iss` (RFC 9207)":                 {`authorizationCodeGrant(`, `searchParams.set("iss"`, ``, `answer.Get("iss")`, ``},
	"ID token's nonce":                              {`expectedNonce`, `expectedNonce`, ``, `idToken.Nonce`, `insecure_oidc_skip_nonce = false`},
	"ID token's signature":                          {`enableNonRepudiationChecks`, `validateApplicationLevelSignature(`, ``, `.Verify(`, `provider = "oidc"`},
	"ID tokens by ES256, RS256 and EdDSA":           {`id_token_signed_response_alg: alg`, ``, ``, `oidc.EdDSA`, ``},
	"Answer by a form (`form_post`)":                {`response_mode: "form_post"`, ``, ``, ``, ``},
	"Pushed requests (RFC 9126)":                    {`buildAuthorizationUrlWithPAR`, `pushedAuthorizationRequest(`, ``, ``, ``},
	"Single claims (`claims`)":                      {`essential: true`, ``, ``, ``, ``},
	"`max_age`":                                     {`maxAge: 60`, ``, ``, ``, ``},
	"Single sign-on, `prompt=none`":                 {`prompt: "none"`, `prompt: "none"`, ``, `"prompt", "none"`, ``},
	"`private_key_jwt`":                             {`client.PrivateKeyJwt(`, `oauth.PrivateKeyJwt(`, ``, ``, ``},
	"No secret":                                     {`client.None()`, `oauth.None`, `"--public"`, `"demo-mobile"`, ``},
	"Refresh, rotated":                              {`refreshTokenGrant(`, `refreshTokenGrantRequest(`, `signinSilent(`, `TokenSource(`, `"--cookie-refresh"`},
	"UserInfo":                                      {`fetchUserInfo(`, `userInfoRequest(`, `loadUserInfo: true`, `.UserInfo(`, ``},
	"Sign-out by the application":                   {`buildEndSessionUrl(`, ``, `signoutRedirect(`, `end_session_endpoint`, `"--backend-logout-url"`},
	"Sign-out elsewhere (back-channel logout)":      {`POST /backchannel-logout`, ``, ``, ``, ``},
	"Client credentials":                            {`clientCredentialsGrant(`, `clientCredentialsGrantRequest(`, ``, `clientcredentials.Config`, ``},
	"Device (RFC 8628)":                             {`pollDeviceAuthorizationGrant(`, `deviceCodeGrantRequest(`, ``, `DeviceAccessToken(`, ``},
	"Token exchange (RFC 8693)":                     {`genericGrantRequest(`, ``, ``, ``, ``},
	"Implicit and password, if registered for them": {`implicitAuthentication(`, ``, ``, ``, ``},
	"Introspection (RFC 7662)":                      {`tokenIntrospection(`, `introspectionRequest(`, ``, ``, ``},
	"Revocation (RFC 7009)":                         {`tokenRevocation(`, `revocationRequest(`, `revokeTokensOnSignout: true`, ``, ``},
	"Opaque access tokens":                          {`"--opaque"`, ``, ``, ``, ``},
	"Tokens bound to a key (DPoP, RFC 9449)":        {`openid.getDPoPHandle(`, `oauth.DPoP(`, ``, ``, ``},
	"Tokens bound to a certificate (RFC 8705)":      {``, `oauth.TlsClientAuth(`, ``, ``, ``},
	"Access tokens verified by an API (RFC 9068)":   {``, `validateJwtAccessToken(`, ``, ``, ``},
	"Calls from a page of another origin":           {``, ``, `chromium.launch(`, ``, ``},
}

// TestWhatForeignClientsDoIsTested holds the table in examples/clients to what the tests there call.
func TestWhatForeignClientsDoIsTested(t *testing.T) {
	var code [5]string
	for i, p := range programs {
		for _, pattern := range p.files {
			code[i] += all(t, pattern)
		}
	}
	rows := tableRows(t, 6)[2:] // below the head
	if len(rows) != len(doneBy) {
		t.Errorf("the table has %d rows, want %d", len(rows), len(doneBy))
	}
	for _, row := range rows {
		for i, call := range doneBy[row[0]] {
			claimed, done := strings.HasPrefix(row[i+1], "yes"), call != "" && strings.Contains(code[i], call)
			if claimed != done {
				t.Errorf("%s by %s: the table says %q, but that its programs and tests have %q is %t", row[0], programs[i].client, row[i+1], call, done)
			}
		}
	}
}

// all is the text of every file that a pattern matches.
func all(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(foreignClients, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	var text strings.Builder
	for _, path := range found {
		text.WriteString(read(t, path))
	}
	return text.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tableRows are the cells of every row of that many columns.
func tableRows(t *testing.T, columns int) [][]string {
	t.Helper()
	var rows [][]string
	for line := range strings.Lines(read(t, foreignClients+"/README.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != columns {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// TestTheForeignClientsAreThoseNamed compares the versions that are told with those that are built, and the project's
// README with both.
func TestTheForeignClientsAreThoseNamed(t *testing.T) {
	var node struct{ Dependencies map[string]string }
	if err := json.Unmarshal([]byte(read(t, foreignClients+"/node/package.json")), &node); err != nil {
		t.Fatal(err)
	}
	modules := read(t, foreignClients+"/go/go.mod") + read(t, foreignClients+"/oauth2-proxy/go.mod")
	name := regexp.MustCompile(`^\[([^\]]+)\]`)
	found := 0
	for _, row := range tableRows(t, 4) {
		client := name.FindStringSubmatch(row[0])
		if client == nil {
			continue
		}
		found++
		module := regexp.MustCompile(regexp.QuoteMeta(client[1]) + `(/v\d+)? ` + regexp.QuoteMeta(row[1]) + `\b`)
		if node.Dependencies[client[1]] != row[1] && !module.MatchString(modules) {
			t.Errorf("%s is not built at %s", client[1], row[1])
		}
		if !strings.Contains(read(t, "../README.md"), "`"+client[1]+"`") {
			t.Errorf("the README does not name %s", client[1])
		}
	}
	if found != 6 {
		t.Errorf("the table names %d clients", found)
	}
}
