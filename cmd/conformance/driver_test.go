package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// settings of a whole run against a fake suite, changed by pairs of name and value.
func environment(s *fakeSuite, changes ...string) func(string) (string, bool) {
	env := map[string]string{
		"CONFORMANCE_SUITE_URL": s.URL, "CONFORMANCE_TOKEN": "suite-token", "CONFORMANCE_ISSUER": s.provider.URL, "CONFORMANCE_ALIAS": "realguardio",
		"CONFORMANCE_USERNAME": "alice@acme.example", "CONFORMANCE_PASSWORD": "correct horse battery",
		"CONFORMANCE_CLIENT_ID": "one", "CONFORMANCE_CLIENT_SECRET": "${a} \"secret\"", "CONFORMANCE_CLIENT2_ID": "two", "CONFORMANCE_CLIENT2_SECRET": "other",
		"CONFORMANCE_POLL": "1ms", "CONFORMANCE_TIMEOUT": "20s",
	}
	for i := 0; i < len(changes); i += 2 {
		env[changes[i]] = changes[i+1]
	}
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return func(name string) (string, bool) { value, ok := env[name]; return value, ok }
}

// drives runs the program and returns its exit status and all that it prints.
func drives(t *testing.T, env func(string) (string, bool), plans ...string) (status int, out string) {
	t.Helper()
	var printed bytes.Buffer
	status = run(t.Context(), env, plans, &printed, &printed)
	return status, printed.String()
}

func TestWithoutASuiteThereIsNothingToDrive(t *testing.T) {
	status, out := drives(t, func(string) (string, bool) { return "", false })
	if status != 0 || !strings.Contains(out, "skipped") {
		t.Errorf("%d: %s", status, out)
	}
}

// TestEveryModuleIsWalkedThrough: each of these needs something else of the driver.
func TestEveryModuleIsWalkedThrough(t *testing.T) {
	s := newFakeSuite(t, "signs-in", "signs-in-twice", "posts", "shows-an-error-page", "warns", "is-skipped", "waits-to-be-started")
	status, out := drives(t, environment(s), "basic")
	if status != 0 {
		t.Errorf("status %d", status)
	}
	for _, line := range []string{
		"signs-in", "PASSED", "shows-an-error-page", "REVIEW", "warns", "WARNING", "Check: not quite", "is-skipped", "SKIPPED",
		"7 modules: 4 PASSED 1 WARNING 1 REVIEW 1 SKIPPED",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("the table lacks %q: %s", line, out)
		}
	}
	made, _ := s.made()
	client, _ := made["client"].(map[string]any)
	server, _ := made["server"].(map[string]any)
	if client["client_secret"] != "${a} \"secret\"" || server["discoveryUrl"] != s.provider.URL+"/.well-known/openid-configuration" {
		t.Errorf("the configuration is %v", made)
	}
}

func TestAFailureIsTheProgramsOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		modules []string
		changes []string
		want    string
	}{
		"a module that fails":                    {[]string{"signs-in", "fails", "warns"}, nil, "Check: that was wrong"},
		"a module that is interrupted":           {[]string{"is-interrupted"}, nil, "FAILED"},
		"a result that nobody knows":             {[]string{"is-unclear"}, nil, "FAILED"},
		"a module that never ends":               {[]string{"hangs", "signs-in"}, []string{"CONFORMANCE_TIMEOUT", "100ms"}, "not finished after 100ms"},
		"a provider that lets nobody in":         {[]string{"signs-in"}, []string{"CONFORMANCE_PASSWORD", "wrong"}, "does not let this account in"},
		"a suite that does not know the token":   {[]string{"signs-in"}, []string{"CONFORMANCE_TOKEN", "wrong"}, "401"},
		"a suite that is not there":              {nil, []string{"CONFORMANCE_SUITE_URL", "http://127.0.0.1:1"}, "connection refused"},
		"a page that leads on and on and on and": {[]string{"goes-round"}, nil, "no end"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeSuite(t, tc.modules...)
			status, out := drives(t, environment(s, tc.changes...), "basic")
			if status != 1 || !strings.Contains(out, tc.want) {
				t.Errorf("status %d: %s", status, out)
			}
			if name == "a module that never ends" && (!s.cancelled("hangs") || strings.Count(out, "signs-in") < 2) {
				t.Errorf("not cancelled, or not gone on: %s", out)
			}
		})
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	s := newFakeSuite(t, "signs-in")
	for want, changes := range map[string][]string{
		"CONFORMANCE_PASSWORD":         {"CONFORMANCE_PASSWORD", ""},
		"CONFORMANCE_CLIENT2_SECRET":   {"CONFORMANCE_CLIENT2_SECRET", ""},
		"CONFORMANCE_TIMEOUT must be":  {"CONFORMANCE_TIMEOUT", "soon"},
		"reading CONFORMANCE_CA_FILE":  {"CONFORMANCE_CA_FILE", "/nowhere"},
		"needs CONFORMANCE_CLIENT2_ID": {"CONFORMANCE_CLIENT2_ID", ""},
	} {
		if status, out := drives(t, environment(s, changes...)); status != 2 || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s", changes, status, out)
		}
	}
	if status, out := drives(t, environment(s), "nonsense"); status != 2 || !strings.Contains(out, "no such plan") {
		t.Errorf("a plan that there is not: %d %s", status, out)
	}
}

// TestThePlansOfFAPIAreGivenTheirKeys runs both when they are named, and neither unless every file of theirs is there.
func TestThePlansOfFAPIAreGivenTheirKeys(t *testing.T) {
	dir := t.TempDir()
	at := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := []string{
		"CONFORMANCE_DPOP_CLIENT_ID", "one", "CONFORMANCE_DPOP_CLIENT_JWKS_FILE", at("one.json", `{"keys":[{"kty":"EC","d":"the-first-secret"}]}`),
		"CONFORMANCE_DPOP_CLIENT2_ID", "two", "CONFORMANCE_DPOP_CLIENT2_JWKS_FILE", at("two.json", `{"keys":[{"kty":"EC","d":"${the} second"}]}`),
		"CONFORMANCE_MTLS_CLIENT_ID", "one", "CONFORMANCE_MTLS_CLIENT_CERT_FILE", at("one.pem", "one's certificate"), "CONFORMANCE_MTLS_CLIENT_KEY_FILE", at("one-key.pem", "the-first-secret"),
		"CONFORMANCE_MTLS_CLIENT2_ID", "two", "CONFORMANCE_MTLS_CLIENT2_CERT_FILE", at("two.pem", "two's certificate"), "CONFORMANCE_MTLS_CLIENT2_KEY_FILE", at("two-key.pem", "${the} second"),
		"CONFORMANCE_MTLS_ORIGIN", "https://mtls.example.com",
	}
	for _, tt := range []struct{ plan, variant, resource, secrets string }{
		{"fapi2-dpop", `"client_auth_type":"private_key_jwt"`, "/oauth2/userinfo", `"client":{"client_id":"one","dpop_signing_alg":"ES256","jwks":{"keys":[{"d":"the-first-secret","kty":"EC"}]}`},
		{"fapi2-mtls", `"sender_constrain":"mtls"`, "https://mtls.example.com/oauth2/userinfo", `"mtls2":{"cert":"two's certificate","key":"${the} second"}`},
	} {
		t.Run(tt.plan, func(t *testing.T) {
			s := newFakeSuite(t, "signs-in")
			status, out := drives(t, environment(s, env...), tt.plan)
			if status != 0 || !strings.Contains(out, "fapi2-security-profile-final-test-plan: 1 modules") || strings.Contains(out, "secret") {
				t.Errorf("%d: %s", status, out)
			}
			made, variant := s.made()
			configuration, _ := json.Marshal(made)
			if !strings.Contains(variant, tt.variant) || !strings.Contains(variant, `"fapi_profile":"plain_fapi"`) ||
				!strings.Contains(string(configuration), tt.secrets) || !strings.Contains(string(configuration), tt.resource) {
				t.Errorf("made with %s: %s", variant, configuration)
			}
			for want, changes := range map[string][]string{
				"needs CONFORMANCE_": {"CONFORMANCE_DPOP_CLIENT2_ID", "", "CONFORMANCE_MTLS_ORIGIN", ""},
				"no such file":       {"CONFORMANCE_DPOP_CLIENT_JWKS_FILE", dir + "/none", "CONFORMANCE_MTLS_CLIENT2_KEY_FILE", dir + "/none"},
			} {
				s := newFakeSuite(t, "signs-in")
				if status, out := drives(t, environment(s, append(slices.Clone(env), changes...)...), tt.plan); status != 2 || !strings.Contains(out, want) {
					t.Errorf("%v: %d %s", changes, status, out)
				}
				if made, _ := s.made(); made != nil {
					t.Errorf("%v: a plan was made", changes)
				}
			}
		})
	}
	s := newFakeSuite(t, "signs-in")
	noJSON := append(slices.Clone(env), "CONFORMANCE_DPOP_CLIENT_JWKS_FILE", at("bad.json", "the-first-secret"))
	if status, out := drives(t, environment(s, noJSON...), "fapi2-dpop"); status != 2 || !strings.Contains(out, "bad.json") || strings.Contains(out, "secret") {
		t.Errorf("a key set that is no JSON: %d %s", status, out)
	}
}

// TestEveryPlanIsRun is what the program does when it is not told which.
func TestEveryPlanIsRun(t *testing.T) {
	s := newFakeSuite(t, "signs-in")
	status, out := drives(t, environment(s))
	for _, plan := range []string{"oidcc-config-certification-test-plan", "oidcc-basic-certification-test-plan",
		"oidcc-rp-initiated-logout-certification-test-plan", "oidcc-backchannel-rp-initiated-logout-certification-test-plan"} {
		if !strings.Contains(out, plan) {
			t.Errorf("not %s", plan)
		}
	}
	if status != 0 || !strings.Contains(out, "4 modules: 4 PASSED") {
		t.Errorf("%d: %s", status, out)
	}
}
