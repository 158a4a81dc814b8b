package gateway_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/gateway/relyingparty"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// newForeignWorld has services that trust another provider besides ours, and a gateway at which people sign in there.
func newForeignWorld(t *testing.T) (w *world, elsewhere *idp, g *gate) {
	t.Helper()
	w, elsewhere = newWorld(t), newIDP(t)
	mapping := &claims.Mapping{
		Namespace: "elsewhere", Roles: claims.Names{Rename: map[string]string{"REALGUARDIO_CUSTOMER_EMPLOYEE": "THEIR_EMPLOYEE"}},
		Scopes: claims.Names{Allow: []string{"securitysystem.read"}},
	}
	foreign, err := jwt.New(t.Context(), jwt.Config{Issuer: elsewhere.URL, Audiences: []string{meshtest.Audience}, Claims: mapping})
	if err != nil {
		t.Fatal(err)
	}
	both, err := issuers.New(issuers.Config{Trusted: []issuers.Trusted{{JWT: w.idp.Verifier(t, "gateway"), Required: true}, {JWT: foreign}}})
	if err != nil {
		t.Fatal(err)
	}
	w.server = meshtest.Serve(t, w.idp.Issuer, meshtest.Part{Name: "securitysystem", Configure: func(c *mesh.ServerConfig) { c.Verifier = both }}, func(r grpc.ServiceRegistrar) {
		securitysystemv1.RegisterSecuritySystemServiceServer(r, w.backend)
	})
	g = w.gateway(t, func(c *gateway.Config) {
		c.Verifier = both
		c.SignIn = &gateway.SignIn{Issuer: elsewhere.URL, ClientID: clientID, ClientSecret: clientSecret, Claims: mapping, Parameters: map[string]string{"audience": "https://api.example"}}
	})
	return w, elsewhere, g
}

func TestPeopleSignInAtAnotherProvider(t *testing.T) {
	w, elsewhere, g := newForeignWorld(t)
	b := g.signedIn(t)
	session := b.get(t, "/api/auth/session").json(t)
	user, _ := session["user"].(map[string]any)
	if user["sub"] != "elsewhere:u-alice" || user["name"] != "Alice Acme" || user["email"] != "" || session["roles"].([]any)[0] != "THEIR_EMPLOYEE" {
		t.Errorf("the session is %v", session)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	caller := w.backend.take()[0].caller
	if caller.Subject != "elsewhere:u-alice" || caller.Issuer != elsewhere.URL || !slices.Equal(caller.Roles, []string{"THEIR_EMPLOYEE"}) || len(caller.Scopes) != 1 {
		t.Errorf("the caller is %+v", caller)
	}

	// API keys are ours still.
	w.idp.set(func(p *idp) { p.apiKeys["rgk_one"] = "secret" })
	g.browser(t).get(t, "/api/v1/securitysystems", bearer("rgk_one.secret")).want(t, http.StatusOK, "")
	if w.idp.count("authorization_code") != 0 || elsewhere.count("client_credentials") != 0 {
		t.Error("a provider was asked for what is the other's")
	}

	// What ends ours does not end theirs, and theirs is ended by the name that it has here.
	for _, e := range []revocation.Entry{{Kind: revocation.Subject, Value: "u-alice"}, {Kind: revocation.Client, Value: clientID}, {Kind: revocation.Key, Value: elsewhere.KeyID()}} {
		if err := w.revoked.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	if err := w.revoked.Add(revocation.Entry{Kind: revocation.Subject, Value: "elsewhere:u-alice"}); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
}

func TestAnotherProviderSpeaksForItsOwnPeopleOnly(t *testing.T) {
	w, elsewhere, g := newForeignWorld(t)
	fails := func(name string) {
		t.Helper()
		if r := g.browser(t).signIn(t); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: the sign-in ends with %d", name, r.StatusCode)
		}
	}
	elsewhere.set(func(p *idp) { p.swapped = w.idp.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: clientID}) })
	fails("an access token of ours")
	elsewhere.set(func(p *idp) { p.swapped = p.Token(t, meshtest.Claims{Subject: "u-bob", ClientID: clientID}) })
	fails("an access token of somebody else")
	elsewhere.set(func(p *idp) { p.swapped, p.tamper = "", func(c *meshtest.Claims) { c.Subject = "elsewhere:u-alice" } })
	fails("a subject that is written as it is called here")
	elsewhere.set(func(p *idp) { p.tamper = nil })

	b := g.signedIn(t)
	told := func(by *idp, sub string) int {
		return b.form(t, "/api/auth/backchannel-logout", url.Values{"logout_token": {by.Token(t, meshtest.Claims{
			Subject: sub, Audience: []string{clientID}, Header: map[string]any{"typ": "logout+jwt"},
			Extra: map[string]any{"sid": nil, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
		})}}).StatusCode
	}
	if status := told(w.idp, "elsewhere:u-alice"); status != http.StatusBadRequest {
		t.Errorf("a logout that our issuer tells is answered %d", status)
	}
	if status := told(elsewhere, "elsewhere:u-alice"); status != http.StatusOK {
		t.Errorf("a logout of nobody is answered %d", status)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusOK, "")
	if status := told(elsewhere, "u-alice"); status != http.StatusOK {
		t.Errorf("a logout is answered %d", status)
	}
	b.get(t, "/api/v1/securitysystems").want(t, http.StatusUnauthorized, "NO_CREDENTIAL")
}

func TestParametersDoNotTakeThePlaceOfOurs(t *testing.T) {
	verifier := meshtest.NewIssuer(t).Verifier(t, "gateway")
	for _, name := range []string{"redirect_uri", "state", "scope", "client_id", "request_uri", "code_challenge"} {
		_, err := relyingparty.New(relyingparty.Config{
			Issuer: "https://other", ClientID: "c", ClientSecret: "s", RedirectURL: "https://us", Verifier: verifier, Parameters: map[string]string{name: "x"},
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
