package main_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/dpop"
)

// checkBoundToken goes with a token that is bound to a key, by REST and native gRPC, to what the security system service
// can answer only by asking the customer service in the same person's name. The token by itself opens nothing.
func checkBoundToken(t *testing.T, s *stand) {
	key, err := dpop.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	token := s.boundTokenOf(t, "mary", key)
	mary := &stand{File: s.File, http: &http.Client{Transport: &dpop.Transport{
		Key: key, Token: func(context.Context) (string, error) { return token, nil }, Base: s.http.Transport,
	}}}
	oakland := mary.systems(t)["Oakland"]
	for _, do := range []struct{ verb, state string }{{"arm", "ARMED"}, {"disarm", "DISARMED"}} {
		var done system
		mary.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+oakland.ID+":"+do.verb, struct{}{}).decode(t, &done)
		if done.State != do.state || done.UpdatedBy.ID != s.user(t, "mary").Sub {
			t.Errorf("%s: %+v", do.verb, done)
		}
	}
	list := func(authorization, nonce string) (metadata.MD, error) {
		const method = "/realguardio.securitysystem.v1.SecuritySystemService/ListSecuritySystems"
		proof, err := key.Proof(dpop.Target{Method: "POST", URL: "https://" + s.GRPC["gateway"] + method, AccessToken: token, Nonce: nonce})
		if err != nil {
			t.Fatal(err)
		}
		var trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization, "dpop", proof)
		found, err := securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, "gateway")).
			ListSecuritySystems(ctx, &securitysystemv1.ListSecuritySystemsRequest{}, grpc.Trailer(&trailer))
		if err == nil && len(found.GetSecuritySystems()) != 1 {
			t.Errorf("gRPC: %v", found)
		}
		return trailer, err
	}
	trailer, err := list("DPoP "+token, "")
	if mesh.Reason(err) != mesh.ReasonUseDPoPNonce {
		t.Fatalf("gRPC without a nonce: %v", err)
	}
	if _, err := list("DPoP "+token, trailer.Get("dpop-nonce")[0]); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if _, err := list("Bearer "+token, ""); mesh.Reason(err) != mesh.ReasonUnprovenKey {
		t.Errorf("gRPC as a bearer token: %v", err)
	}
	s.api(t, http.StatusUnauthorized, http.MethodGet, "/api/securitysystems", nil, bearer(token))
	_, err = securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, "securitysystem")).
		ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("at the service itself: %v", err)
	}
}

// checkBoundTokenByCommands does the same by the commands that go with curl.
func checkBoundTokenByCommands(t *testing.T, s *stand) {
	dir := t.TempDir()
	key, tokenFile, url := filepath.Join(dir, "dpop.pem"), filepath.Join(dir, "token"), s.Gateway+"/api/v1/securitysystems"
	said := func(args ...string) string {
		code, out, problems := run(t, nil, args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, problems)
		}
		return strings.TrimSpace(out)
	}
	token := said("access-token", "--ready-file", s.path, "--client", "demo-service", "--dpop-key", key)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(proof string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", proof)
		}
	}
	proof := func(method, nonce string) func(*http.Request) {
		return with(said("dpop-proof", method, url, "--dpop-key", key, "--token-file", tokenFile, "--nonce", nonce))
	}
	const path = "/api/v1/securitysystems"
	refused := s.api(t, http.StatusUnauthorized, http.MethodGet, path, nil, proof(http.MethodGet, ""))
	nonce := refused.header.Get("DPoP-Nonce")
	first := proof(http.MethodGet, nonce)
	s.api(t, http.StatusOK, http.MethodGet, path, nil, first)
	s.api(t, http.StatusUnauthorized, http.MethodGet, path, nil, first) // it was used
	s.api(t, http.StatusUnauthorized, http.MethodGet, path, nil, proof(http.MethodPost, nonce))
	s.api(t, http.StatusUnauthorized, http.MethodGet, path, nil, bearer(token))

	for _, method := range []string{"get", "", "GET /", url} {
		if code, out, _ := run(t, nil, "dpop-proof", method, url, "--dpop-key", key, "--token-file", tokenFile); code != 2 || out != "" {
			t.Errorf("for the method %q: %d %s", method, code, out)
		}
	}
	if code, out, _ := run(t, nil, "access-token", "--ready-file", s.path, "--dpop-key", filepath.Join(dir, "none.pem")); code != 2 || out != "" {
		t.Errorf("for who is signed in: %d %s", code, out)
	}
	if code, out, _ := run(t, nil, "access-token", "--ready-file", s.path, "--client", "demo-service", "--dpop-key", tokenFile); code == 0 || out != "" {
		t.Errorf("with a file that is no key: %d %s", code, out)
	}
}

// boundTokenOf signs a demo account in by the password grant, with a proof of key.
func (s *stand) boundTokenOf(t *testing.T, name string, key *dpop.Key) string {
	t.Helper()
	trusted, user := s.client(t, "demo-trusted"), s.user(t, name)
	form := url.Values{"grant_type": {"password"}, "username": {user.Username}, "password": {user.Password}}
	proof, err := key.Proof(dpop.Target{Method: http.MethodPost, URL: s.Issuer + "/oauth2/token"})
	if err != nil {
		t.Fatal(err)
	}
	got := post(t, s.http, s.Issuer+"/oauth2/token", form, basic(trusted.ID, trusted.Secret), func(r *http.Request) { r.Header.Set("DPoP", proof) })
	var token struct {
		Access string `json:"access_token"`
		Type   string `json:"token_type"`
	}
	got.decode(t, &token)
	if got.status != http.StatusOK || token.Type != "DPoP" || bytes.Contains(got.body, []byte("Bearer")) {
		t.Fatalf("answered %d %s", got.status, token.Type)
	}
	return token.Access
}
