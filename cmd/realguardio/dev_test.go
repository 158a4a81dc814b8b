package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
)

// rights is what each demo account may see, and the actions it may take on a disarmed system.
var rights = []struct {
	name    string
	actions map[string][]string
}{
	{"admin", map[string][]string{"Oakland": nil, "Berkeley": nil, "Hayward": nil, "Springfield": nil}},
	{"alice", map[string][]string{"Oakland": {"ARM"}, "Berkeley": {"ARM"}, "Hayward": {"ARM"}}},
	{"mary", map[string][]string{"Oakland": {"ARM"}}},
	{"charlie", map[string][]string{"Berkeley": nil}},
	{"victor", map[string][]string{"Oakland": nil, "Berkeley": nil, "Hayward": nil}},
	{"eve", map[string][]string{}},
	{"bob", map[string][]string{"Springfield": {"ARM"}}},
}

func TestDev(t *testing.T) {
	s := startDev(t, "--ephemeral")
	t.Run("the ready file is this user's alone and names every part", func(t *testing.T) { checkReadyFile(t, s) })
	t.Run("every part tells operators how it is", func(t *testing.T) { checkOperations(t, s) })
	for _, r := range rights {
		t.Run(r.name+" sees exactly their own systems and actions, by every route", func(t *testing.T) { checkRights(t, s, r.name, r.actions) })
	}
	t.Run("an API key opens REST in both its forms and nothing else does", func(t *testing.T) { checkAPIKey(t, s) })
	t.Run("an opaque token opens what its JWT would, until it is revoked", func(t *testing.T) { checkOpaque(t, s) })
	t.Run("a token that is bound to a key opens what others do, to who proves the key", func(t *testing.T) { checkBoundToken(t, s) })
	t.Run("and so does one that the commands get, with their proofs", func(t *testing.T) { checkBoundTokenByCommands(t, s) })
	t.Run("the request flow of the article, step by step", func(t *testing.T) { checkRequestFlow(t, s) })
	t.Run("an RPC that is not for the outside does not exist there", func(t *testing.T) { checkInternal(t, s) })
	t.Run("an alarm of the panel reaches people by mail", func(t *testing.T) { checkAlarm(t, s) })
	t.Run("what people do through the gateway is recorded where it is done", func(t *testing.T) { checkAudit(t, s) })
	t.Run("a client that is registered gets tokens until it is disabled", func(t *testing.T) { checkClients(t, s) })
	t.Run("headers are bounded wherever strangers come", func(t *testing.T) {
		for _, at := range []string{s.Gateway + "/api/auth/session", s.Issuer + "/oauth2/jwks", s.Issuer + "/oauth2/authorize"} {
			if a := call(t, s.http, http.MethodGet, at, nil, accepting(strings.Repeat("a", 64<<10))); a.status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%s: %d", at, a.status)
			}
		}
	})
	t.Run("it stops cleanly and takes the ready file with it", func(t *testing.T) {
		if code := s.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if _, err := os.Stat(s.path); !os.IsNotExist(err) {
			t.Errorf("the ready file is still there: %v", err)
		}
		if _, err := os.Stat(filepath.Dir(filepath.Dir(s.CAFile))); !os.IsNotExist(err) {
			t.Errorf("the temporary data folder is still there: %v", err)
		}
	})
}

func checkReadyFile(t *testing.T, s *stand) {
	info, err := os.Stat(s.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, part := range []string{"token", "customer", "securitysystem", "notification", "gateway"} {
		if s.GRPC[part] == "" || s.Ops[part] == "" {
			t.Errorf("%s has no address: %q %q", part, s.GRPC[part], s.Ops[part])
		}
	}
	if len(s.Users) != len(rights) || len(s.APIKeys) != 1 || s.APIKeys[0].Customer != "Acme Corporation" {
		t.Errorf("users %d, keys %+v", len(s.Users), s.APIKeys)
	}
	for _, id := range []string{"realguardio-web", "demo-partner", "demo-mobile", "demo-service", "demo-trusted", "demo-opaque", "realguardio-cli", "panel_"} {
		if c := s.client(t, id); (c.Secret == "") != (id == "demo-mobile" || id == "realguardio-cli") {
			t.Errorf("%s: is its secret %t?", id, c.Secret != "")
		}
	}
}

func checkOperations(t *testing.T, s *stand) {
	for part, base := range s.Ops {
		for path, want := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ready"`, "/metrics": "go_goroutines"} {
			a := call(t, s.http, http.MethodGet, base+path, nil)
			if a.status != http.StatusOK || !strings.Contains(string(a.body), want) {
				t.Errorf("%s%s answered %d\n%.300s", part, path, a.status, a.body)
			}
		}
	}
}

// checkRights asks by REST with a bearer token, by the gateway's gRPC, by the service's own gRPC and in a browser.
func checkRights(t *testing.T, s *stand, name string, want map[string][]string) {
	token := s.tokenOf(t, name)
	compare := func(route string, got map[string][]string) {
		t.Helper()
		if !slices.Equal(names(got), names(want)) {
			t.Errorf("by %s: sees %v, want %v", route, names(got), names(want))
		}
		for location, actions := range got {
			if !slices.Equal(actions, want[location]) {
				t.Errorf("by %s: at %s may %v, want %v", route, location, actions, want[location])
			}
		}
	}
	rest := map[string][]string{}
	for location, one := range s.systems(t, bearer(token)) {
		rest[location] = append([]string(nil), one.AllowedActions...)
	}
	compare("REST", rest)
	for _, part := range []string{"gateway", "securitysystem"} {
		got := map[string][]string{}
		list, err := securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, part)).ListSecuritySystems(withToken(t.Context(), token), &securitysystemv1.ListSecuritySystemsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list.GetSecuritySystems() {
			var actions []string
			for _, a := range one.GetAllowedActions() {
				actions = append(actions, a.String())
			}
			got[one.GetLocationName()] = actions
		}
		compare("gRPC of "+part, got)
	}
	browser := s.signIn(t, name)
	var list struct{ SecuritySystems []system }
	call(t, browser, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil).decode(t, &list)
	page := map[string][]string{}
	for _, one := range list.SecuritySystems {
		page[one.LocationName] = append([]string(nil), one.AllowedActions...)
	}
	compare("session", page)
}

func checkAPIKey(t *testing.T, s *stand) {
	key := s.APIKeys[0]
	for form, with := range map[string]as{"Basic": basic(key.Key, key.Secret), "one string": bearer(key.Key + "." + key.Secret)} {
		if got := names(s.systems(t, with)); !slices.Equal(got, []string{"Oakland"}) {
			t.Errorf("%s: sees %v", form, got)
		}
	}
	oakland := s.systems(t, basic(key.Key, key.Secret))["Oakland"]
	for name, with := range map[string]as{
		"a wrong secret": basic(key.Key, key.Secret+"x"), "an unknown key": basic("rgk_00000000000000000000000000", key.Secret),
		"no credential": func(*http.Request) {}, "the secret alone": bearer(key.Secret),
	} {
		if a := call(t, s.http, http.MethodPost, s.Gateway+"/api/v1/securitysystems/"+oakland.ID+":arm", struct{}{}, with); a.status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d\n%s", name, a.status, a.body)
		}
	}
	if now := s.systems(t, basic(key.Key, key.Secret))["Oakland"]; now.Etag != oakland.Etag {
		t.Errorf("a refused request changed the system: %+v", now)
	}
}

// checkRequestFlow walks "The request flow" of the article: from the UI to a backend service and back.
func checkRequestFlow(t *testing.T, s *stand) {
	browser := s.signIn(t, "mary")
	direct := securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, "securitysystem"))
	token := s.tokenOf(t, "mary")
	var list answer
	steps := []struct {
		name string
		do   func(t *testing.T)
	}{
		{"1. on startup the security system service fetches the public key from the IAM service", func(t *testing.T) {
			var ready struct{ Checks map[string]string }
			call(t, s.http, http.MethodGet, s.Ops["securitysystem"]+"/readyz", nil).decode(t, &ready)
			if ready.Checks["verification keys"] != "ok" {
				t.Errorf("readiness: %v", ready.Checks)
			}
		}},
		{"2. the UI makes GET /securitysystems to the BFF with the session cookie", func(t *testing.T) {
			list = call(t, browser, http.MethodGet, s.Gateway+"/api/securitysystems", nil)
			without := call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil)
			if list.status != http.StatusOK || without.status != http.StatusUnauthorized {
				t.Errorf("with the cookie %d, without %d", list.status, without.status)
			}
		}},
		{"3. the BFF takes the access token from the session, which the browser never sees", func(t *testing.T) {
			session := call(t, browser, http.MethodGet, s.Gateway+"/api/auth/session", nil)
			if strings.Contains(string(session.body), "eyJ") || strings.Contains(string(list.body), "eyJ") {
				t.Errorf("a token reached the browser:\n%s\n%s", session.body, list.body)
			}
		}},
		{"4. the service validates the JWT with the public key", func(t *testing.T) {
			head, rest, _ := strings.Cut(token, ".")
			payload, signature, _ := strings.Cut(rest, ".")
			forged := []byte(signature)
			forged[5] ^= 1
			for name, bad := range map[string]string{"another signature": head + "." + payload + "." + string(forged), "none": ""} {
				_, err := direct.ListSecuritySystems(withToken(t.Context(), bad), &securitysystemv1.ListSecuritySystemsRequest{})
				if status.Code(err) != codes.Unauthenticated {
					t.Errorf("%s: %v", name, err)
				}
			}
		}},
		{"5. the service reads identity and authorization claims and checks permissions", func(t *testing.T) {
			oakland := s.systems(t, bearer(token))["Oakland"]
			s.api(t, http.StatusForbidden, http.MethodPost, "/api/v1/securitysystems/"+oakland.ID+":arm", struct{}{}, bearer(s.tokenOf(t, "victor")))
			s.api(t, http.StatusNotFound, http.MethodPost, "/api/v1/securitysystems/"+oakland.ID+":arm", struct{}{}, bearer(s.tokenOf(t, "eve")))
			armed := s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+oakland.ID+":arm", struct{}{}, bearer(token))
			var now system
			armed.decode(t, &now)
			if now.State != "ARMED" || now.UpdatedBy.ID != s.user(t, "mary").Sub {
				t.Errorf("after mary armed it: %+v", now)
			}
			s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+oakland.ID+":disarm", struct{}{}, bearer(token))
		}},
		{"6. the service returns a response to the BFF", func(t *testing.T) {
			metrics := string(call(t, s.http, http.MethodGet, s.Ops["securitysystem"]+"/metrics", nil).body)
			if !strings.Contains(metrics, `grpc_method="ListSecuritySystems"`) {
				t.Error("the service counted no answer")
			}
		}},
		{"7. the BFF returns the response to the UI", func(t *testing.T) {
			var got struct{ SecuritySystems []system }
			list.decode(t, &got)
			if len(got.SecuritySystems) != 1 || got.SecuritySystems[0].LocationName != "Oakland" {
				t.Errorf("mary's list: %s", list.body)
			}
		}},
	}
	for _, step := range steps {
		t.Run(step.name, step.do)
	}
}

func checkInternal(t *testing.T, s *stand) {
	ctx := withToken(t.Context(), s.tokenOf(t, "alice"))
	_, err := customerv1.NewCustomerServiceClient(s.dial(t, "gateway")).ListRecipients(ctx, &customerv1.ListRecipientsRequest{LocationId: "x"})
	if code := status.Code(err); code != codes.Unimplemented {
		t.Errorf("ListRecipients through the gateway: %v", err)
	}
	_, err = tokenv1.NewAdminServiceClient(s.dial(t, "token")).ProvisionUser(ctx, &tokenv1.ProvisionUserRequest{Email: "x@y.example", Name: "x"})
	if code := status.Code(err); code != codes.PermissionDenied {
		t.Errorf("ProvisionUser by a person: %v", err)
	}
}

func checkAlarm(t *testing.T, s *stand) {
	panel := s.client(t, "panel_")
	token := s.token(t, remote.Credentials{ClientID: panel.ID, ClientSecret: panel.Secret})
	detail := fmt.Sprintf("Smoke detector %d", time.Now().UnixNano())
	reported := s.api(t, http.StatusOK, http.MethodPost, "/api/v1/panel:reportAlarm", map[string]string{"reportId": "r1", "alarm": "FIRE", "detail": detail}, bearer(token))
	var now system
	reported.decode(t, &now)
	if now.State != "ALARMED" || now.LocationName != "Oakland" || now.Alarm != "FIRE" {
		t.Errorf("after the report: %+v", now)
	}
	told := map[string]bool{}
	eventually(t, "everybody concerned has mail", func() error {
		var outbox struct {
			Messages []struct {
				To            []string
				Subject, Text string
			}
		}
		call(t, s.http, http.MethodGet, s.Outbox, nil, accepting("application/json")).decode(t, &outbox)
		for _, m := range outbox.Messages {
			if strings.Contains(m.Text, detail) {
				for _, to := range m.To {
					told[to] = true
				}
			}
		}
		if !told["alice@acme.example"] || !told["mary@acme.example"] || !told["victor@acme.example"] {
			return problem("told so far: %v", told)
		}
		return nil
	})
	if told["eve@acme.example"] || told["bob@foo.example"] || told["charlie@acme.example"] {
		t.Errorf("told people whom it does not concern: %v", told)
	}
	page := call(t, s.http, http.MethodGet, s.Outbox, nil, accepting("text/html"))
	if !strings.Contains(string(page.body), detail) || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("outbox page: %v\n%.500s", page.header, page.body)
	}
	s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+now.ID+":disarm", struct{}{}, bearer(s.tokenOf(t, "mary")))
}

func checkClients(t *testing.T, s *stand) {
	var made struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	runJSON(t, &made, "clients", "create", "--ready-file", s.path, "--name", "Report", "--grant", "client_credentials", "--scope", "securitysystem.read", "-o", "json")
	credentials := remote.Credentials{ClientID: made.ClientID, ClientSecret: made.ClientSecret}
	s.token(t, credentials)
	var listed []struct {
		ClientID string `json:"client_id"`
	}
	runJSON(t, &listed, "clients", "list", "--ready-file", s.path, "-o", "json")
	if !slices.ContainsFunc(listed, func(c struct {
		ClientID string `json:"client_id"`
	}) bool {
		return c.ClientID == made.ClientID
	}) {
		t.Errorf("not listed: %+v", listed)
	}
	runJSON(t, &made, "clients", "disable", made.ClientID, "--ready-file", s.path, "-o", "json")
	if _, err := remote.Token(context.WithoutCancel(t.Context()), s.http, s.Issuer, credentials); err == nil {
		t.Error("a disabled client got a token")
	}
	path := "/api/v1/audit/token?target=" + made.ClientID
	var log struct {
		Entries []struct{ Actor, ClientID, Action, Result, Hash string }
	}
	s.api(t, http.StatusOK, http.MethodGet, path, nil, bearer(s.tokenOf(t, "admin"))).decode(t, &log)
	admin := s.user(t, "admin").Sub
	if len(log.Entries) != 2 || log.Entries[0].Action != "client.disable" || log.Entries[1].Action != "client.create" ||
		log.Entries[0].Actor != admin || log.Entries[0].ClientID != "demo-trusted" || log.Entries[0].Result != "ok" || log.Entries[0].Hash == "" {
		t.Errorf("audit log: %+v, want the deeds of %s", log, admin)
	}
	s.api(t, http.StatusForbidden, http.MethodGet, path, nil, bearer(s.tokenOf(t, "alice")))
}

func TestDevRestart(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, "--data-dir", dir)
	token, before := s.tokenOf(t, "mary"), s.systems(t, bearer(s.tokenOf(t, "alice")))
	s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+before["Oakland"].ID+":arm", struct{}{}, bearer(token))
	first := s.File
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	// The issuer is part of every token; on random ports it would be another one.
	again := startDev(t, "--data-dir", dir)
	after := again.systems(t, bearer(again.tokenOf(t, "alice")))
	if !slices.Equal(names(after), names(before)) || after["Oakland"].State != "ARMED" || after["Oakland"].ID != before["Oakland"].ID {
		t.Errorf("systems before %v, after %v", before, after)
	}
	for i, u := range again.Users {
		if u != first.Users[i] {
			t.Errorf("user %+v became %+v", first.Users[i], u)
		}
	}
	for _, c := range first.Clients {
		if got := again.client(t, c.ID); got.Secret != c.Secret {
			t.Errorf("the secret of %s changed", c.ID)
		}
	}
	if !slices.Equal(first.APIKeys, again.APIKeys) {
		t.Errorf("API keys %v became %v", first.APIKeys, again.APIKeys)
	}
	if got := names(again.systems(t, basic(first.APIKeys[0].Key, first.APIKeys[0].Secret))); !slices.Equal(got, []string{"Oakland"}) {
		t.Errorf("the API key of before sees %v", got)
	}
	t.Run("the audit logs are whole until somebody changes one", func(t *testing.T) { verifyAudit(t, again, dir) })
}
