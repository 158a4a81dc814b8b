package main_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
)

// TestManagementOnTheCommandLine manages a running installation by the commands that people have.
func TestManagementOnTheCommandLine(t *testing.T) {
	s := startDev(t, "--ephemeral")
	t.Run("applications", func(t *testing.T) { manageClients(t, s) })
	t.Run("API keys", func(t *testing.T) { manageAPIKeys(t, s) })
	t.Run("accounts", func(t *testing.T) { manageUsers(t, s) })
	t.Run("sessions and consents", func(t *testing.T) { manageSessions(t, s) })
	t.Run("who may do what, and why", func(t *testing.T) { explainAccess(t, s) })
	t.Run("the audit log", func(t *testing.T) { readAudit(t, s) })
	t.Run("a change that is malformed names the field and changes nothing", func(t *testing.T) { patchInVain(t, s) })
	t.Run("what cannot be done says why", func(t *testing.T) { manageInVain(t, s) })
}

// here makes a command one that is for this installation.
func (s *stand) here(args ...string) []string {
	return append(args, "--ready-file", s.path, "-o", "json")
}

func manageClients(t *testing.T, s *stand) {
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	runJSON(t, &made, s.here("clients", "create", "--name", "Report", "--grant", "client_credentials", "--scope", "securitysystem.read,customer.read")...)
	first := remote.Credentials{ClientID: made.ID, ClientSecret: made.Secret}
	s.token(t, first)

	var changed struct {
		Name   string `json:"client_name"`
		Scopes []string
	}
	runJSON(t, &changed, s.here("clients", "update", made.ID, "--name", "Reports", "--scope", "customer.read", "--opaque", "--access-token-lifetime", "2m",
		"--refresh-token-lifetime", "720h")...)
	if changed.Name != "Reports" || !slices.Equal(changed.Scopes, []string{"customer.read"}) {
		t.Errorf("changed to %+v", changed)
	}
	var got struct {
		Name, AccessTokenLifetime string
		OpaqueAccessTokens        bool
		GrantTypes                []string
	}
	runJSON(t, &got, s.here("clients", "get", made.ID)...)
	if got.Name != "Reports" || got.AccessTokenLifetime != "120s" || !got.OpaqueAccessTokens || len(got.GrantTypes) != 1 {
		t.Errorf("shown as %+v", got)
	}
	runJSON(t, &changed, s.here("clients", "update", made.ID, "--opaque=false")...)
	runJSON(t, &got, s.here("clients", "get", made.ID)...)
	if got.OpaqueAccessTokens || got.Name != "Reports" {
		t.Errorf("shown as %+v", got)
	}

	runJSON(t, &made, s.here("clients", "rotate-secret", made.ID, "--overlap", "1h")...)
	second := remote.Credentials{ClientID: made.ID, ClientSecret: made.Secret}
	s.token(t, first)
	s.token(t, second)
	runJSON(t, &made, s.here("clients", "rotate-secret", made.ID)...)
	for name, credentials := range map[string]remote.Credentials{"the first": first, "the second": second} {
		if _, err := remote.Token(context.WithoutCancel(t.Context()), s.http, s.Issuer, credentials); err == nil {
			t.Errorf("%s secret is still good", name)
		}
	}
	s.token(t, remote.Credentials{ClientID: made.ID, ClientSecret: made.Secret})
	code, table, _ := run(t, nil, "clients", "get", made.ID, "--ready-file", s.path)
	if code != 0 || !strings.HasPrefix(table, "CLIENT ID") || !strings.Contains(table, "Reports") {
		t.Errorf("exit code %d\n%s", code, table)
	}
}

// apiKey is a key as the commands print it.
type apiKey struct {
	ID, Name, Secret, SecretPrefix, ExpireTime, RevokeTime string
	Scopes                                                 []string
}

func manageAPIKeys(t *testing.T, s *stand) {
	var key apiKey
	runJSON(t, &key, s.here("apikeys", "create", "--name", "Export", "--key-scope", "customer.read,securitysystem.read", "--expires-in", "24h")...)
	if key.ID == "" || key.ExpireTime == "" || !strings.HasPrefix(key.Secret, key.SecretPrefix) || len(key.Scopes) != 2 {
		t.Fatalf("made %+v", key)
	}
	s.api(t, http.StatusOK, http.MethodGet, "/api/securitysystems", nil, basic(key.ID, key.Secret))
	var rotated apiKey
	runJSON(t, &rotated, s.here("apikeys", "rotate", key.ID, "--overlap", "720h")...)
	s.api(t, http.StatusOK, http.MethodGet, "/api/securitysystems", nil, basic(key.ID, key.Secret))
	runJSON(t, &rotated, s.here("apikeys", "rotate", key.ID)...)
	s.api(t, http.StatusOK, http.MethodGet, "/api/securitysystems", nil, basic(key.ID, rotated.Secret))
	eventually(t, "the secret before is refused, also by who had just exchanged it", func() error {
		if a := call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil, basic(key.ID, key.Secret)); a.status != http.StatusUnauthorized {
			return problem("answered %d", a.status)
		}
		return nil
	})
	var listed []apiKey
	runJSON(t, &listed, s.here("apikeys", "list")...)
	if len(listed) != 2 || listed[0].ID != key.ID || listed[0].Secret != "" {
		t.Errorf("listed %+v", listed)
	}
	runJSON(t, &key, s.here("apikeys", "revoke", key.ID)...)
	if key.RevokeTime == "" {
		t.Errorf("revoked %+v", key)
	}
	eventually(t, "a revoked key is refused", func() error { // how soon is TestARevokedKeyIsRefusedAtTheNextRequest's
		if a := call(t, s.http, http.MethodGet, s.Gateway+"/api/securitysystems", nil, basic(key.ID, rotated.Secret)); a.status != http.StatusUnauthorized {
			return problem("answered %d", a.status)
		}
		return nil
	})
}

func manageUsers(t *testing.T, s *stand) {
	type user struct {
		ID, Email, Name   string
		Roles             []string
		Invited, Disabled bool
	}
	var made, got user
	runJSON(t, &made, s.here("users", "invite", "--email", "dana@acme.example", "--name", "Dana Reed", "--role", "REALGUARDIO_CUSTOMER_EMPLOYEE")...)
	if made.ID == "" || !made.Invited || len(made.Roles) != 1 {
		t.Fatalf("invited %+v", made)
	}
	runJSON(t, &got, s.here("users", "resend", made.ID)...)
	if got.ID != made.ID {
		t.Errorf("sent again to %+v", got)
	}
	eventually(t, "the person has two letters", func() error {
		var outbox struct{ Messages []struct{ To []string } }
		call(t, s.http, http.MethodGet, s.Outbox, nil, accepting("application/json")).decode(t, &outbox)
		letters := 0
		for _, m := range outbox.Messages {
			if slices.Contains(m.To, "dana@acme.example") {
				letters++
			}
		}
		if letters != 2 {
			return problem("has %d", letters)
		}
		return nil
	})
	var listed []user
	runJSON(t, &listed, s.here("users", "list", "--query", "DANA@")...)
	if len(listed) != 1 || listed[0].ID != made.ID {
		t.Errorf("listed %+v", listed)
	}
	runJSON(t, &got, s.here("users", "set-roles", made.ID)...)
	if len(got.Roles) != 0 {
		t.Errorf("roles %v", got.Roles)
	}
	for verb, disabled := range map[string]bool{"disable": true, "enable": false} {
		runJSON(t, &got, s.here("users", verb, made.ID)...)
		if got.ID != made.ID || got.Disabled != disabled {
			t.Errorf("%s: %+v", verb, got)
		}
	}
	runJSON(t, &got, s.here("users", "update", made.ID, "--email", "dana.reed@acme.example")...)
	runJSON(t, &got, s.here("users", "get", made.ID)...)
	if got.Email != "dana.reed@acme.example" || got.Name != "Dana Reed" {
		t.Errorf("shown as %+v", got)
	}
}

func manageSessions(t *testing.T, s *stand) {
	mary := s.user(t, "mary")
	browser := s.signIn(t, "mary")
	var sessions []struct{ ID, Address string }
	runJSON(t, &sessions, s.here("users", "sessions", mary.Sub)...)
	var own []struct{ ID string }
	runJSON(t, &own, s.here("sessions", "list", "--user", mary.Username)...)
	if len(sessions) != 1 || sessions[0].Address == "" || len(own) != 1 || own[0].ID != sessions[0].ID {
		t.Fatalf("sessions %+v, by herself %+v", sessions, own)
	}
	var ended struct{ ID string }
	runJSON(t, &ended, s.here("sessions", "end", own[0].ID, "--user", mary.Username)...)
	eventually(t, "the browser is signed out", func() error {
		if a := call(t, browser, http.MethodGet, s.Gateway+"/api/securitysystems", nil); a.status != http.StatusUnauthorized {
			return problem("answered %d", a.status)
		}
		return nil
	})
	s.signIn(t, "mary")
	runJSON(t, &ended, s.here("users", "sign-out", mary.Sub)...)
	runJSON(t, &sessions, s.here("sessions", "list", "--account", mary.Sub)...)
	if len(sessions) != 0 {
		t.Errorf("after signing out everywhere: %+v", sessions)
	}
	var consents []struct{ ClientID string }
	runJSON(t, &consents, s.here("consents", "list", "--user", mary.Username)...)
	if len(consents) != 0 {
		t.Errorf("consents %+v", consents)
	}
	var revoked struct{ ClientID string }
	runJSON(t, &revoked, s.here("consents", "revoke", "demo-partner", "--account", mary.Sub)...)
}

func readAudit(t *testing.T, s *stand) {
	var entries []struct{ Number, Action, Actor, Target string }
	runJSON(t, &entries, s.here("audit", "list", "--action", "client.", "--limit", "2")...)
	if len(entries) != 2 || entries[0].Action != "client.secret.rotate" || entries[0].Actor != s.user(t, "admin").Sub {
		t.Errorf("%+v", entries)
	}
	all := entries
	runJSON(t, &all, s.here("audit", "list", "--limit", "1000")...)
	if len(all) < 10 {
		t.Errorf("%d entries", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].Number == all[i].Number {
			t.Errorf("%s twice", all[i].Number)
		}
	}
}

// patchInVain sends what only a part of the request message is: the client, or the person.
func patchInVain(t *testing.T, s *stand) {
	var made struct {
		ID string `json:"client_id"`
	}
	runJSON(t, &made, s.here("clients", "create", "--name", "Untouched", "--grant", "client_credentials", "--scope", "customer.read")...)
	admin := bearer(s.tokenOf(t, "admin"))
	at := "/api/v1/clients/" + made.ID
	before := s.api(t, http.StatusOK, http.MethodGet, at, nil, admin)
	for _, test := range []struct {
		name, path string
		body       any
		want       string
	}{
		{"a field that there is not", at, map[string]any{"name": "x", "secretHash": "y"}, "secretHash"},
		{"a field that cannot be changed", at, map[string]any{"disabled": true}, "updateMask"},
		{"a value of another type", at, map[string]any{"name": 7}, "name"},
		{"another client's id", at, map[string]any{"clientId": "demo-service", "name": "x"}, "clientId"},
		{"a NUL", at, map[string]any{"name": "a\x00b"}, "name"},
		{"a length of time that is none", at, map[string]any{"accessTokenLifetime": "soon"}, "accessTokenLifetime"},
		{"no object", at, []string{"name"}, ""},
		{"nothing", at, map[string]any{}, "updateMask"},
		{"a parameter that belongs in the body", at + "?name=x", map[string]any{"name": "y"}, "name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.api(t, http.StatusBadRequest, http.MethodPatch, test.path, test.body, admin)
			var refusal struct {
				Reason string
				Errors []struct{ Field string }
			}
			a.decode(t, &refusal)
			if test.want != "" && (len(refusal.Errors) != 1 || refusal.Errors[0].Field != test.want) {
				t.Errorf("%s", a.body)
			}
		})
	}
	s.api(t, http.StatusRequestEntityTooLarge, http.MethodPatch, at, map[string]any{"name": strings.Repeat("x", 2<<20)}, admin)
	s.api(t, http.StatusForbidden, http.MethodPatch, at, map[string]any{"name": "x"}, bearer(s.tokenOf(t, "alice")))
	if after := s.api(t, http.StatusOK, http.MethodGet, at, nil, admin); string(after.body) != string(before.body) {
		t.Errorf("%s became %s", before.body, after.body)
	}
	s.api(t, http.StatusOK, http.MethodPatch, at, map[string]any{"name": "Touched", "redirectUris": []string{}}, admin)
}

func manageInVain(t *testing.T, s *stand) {
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nobody's client", []string{"clients", "get", "app_none"}, 1, "cannot show the client: client not found"},
		{"nothing to change", []string{"clients", "update", "app_none"}, 2, "nothing to change"},
		{"no company", []string{"apikeys", "list", "--user", "admin@realguardio.example"}, 2, "--customer is required"},
		{"another's right", []string{"audit", "list", "--user", "alice@acme.example"}, 1, "cannot list the entries"},
		{"a key that would have ended before it began", []string{"apikeys", "create", "--name", "Late", "--key-scope", "customer.read", "--expires-in=-1h"}, 2,
			"--expires-in: must not be negative"},
		{"no change of a person", []string{"users", "update", s.user(t, "alice").Sub}, 2, "nothing to change"},
		{"an address where an id belongs", []string{"users", "disable", "alice@acme.example"}, 2, "users list --query alice@acme.example"},
		{"an address that another account has", []string{"users", "invite", "--email", "Alice@acme.example", "--name", "Al"}, 1, "another account has this e-mail address"},
		{"a name that is none, said once", []string{"users", "invite", "--email", "al@acme.example", "--name", " "}, 1,
			"cannot invite the person: name: must have something to see (request"},
		{"no number", []string{"audit", "list", "--limit", "many"}, 2, "--limit must be a number"},
		{"an id with a path in it", []string{"sessions", "end", "../../me", "--user", "alice@acme.example"}, 1, "cannot end the session"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, nil, append(test.args, "--ready-file", s.path)...)
			if code != test.code || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}
