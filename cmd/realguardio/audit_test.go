package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	"github.com/realguardio/realguardio/services/database"
)

// recorded is an entry of a part's audit log, as REST shows it.
type recorded struct {
	Actor, ClientID, Action, Target, Result, Via, RequestID, Address string
	Actors, Through                                                  []string
	Details                                                          map[string]string
}

// audit reads the log of a part as the platform admin, newest first.
func (s *stand) audit(t *testing.T, query string) []recorded {
	t.Helper()
	var log struct{ Entries []recorded }
	s.api(t, http.StatusOK, http.MethodGet, "/api/v1/audit/"+query, nil, bearer(s.tokenOf(t, "admin"))).decode(t, &log)
	return log.Entries
}

// checkAudit has people use a system through the gateway, in vain and not, and reads what the parts have recorded.
func checkAudit(t *testing.T, s *stand) {
	id := s.systems(t, bearer(s.tokenOf(t, "alice")))["Oakland"].ID
	named := func(r *http.Request) {
		r.Header.Set("X-Request-Id", "an-armed-system")
		r.Header["Mesh-Via"] = []string{"notification", "\""} // nobody outside is heard
		r.Header["Grpc-Metadata-Mesh-Via"] = []string{"notification"}
		r.Header["Mesh-Client"], r.Header["Grpc-Metadata-Mesh-Client"] = []string{"192.0.2.7"}, []string{"192.0.2.7"}
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
	}
	s.api(t, http.StatusForbidden, http.MethodPost, "/api/v1/securitysystems/"+id+":arm", struct{}{}, bearer(s.tokenOf(t, "victor")))
	s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+id+":arm", map[string]string{"mode": "STAY"}, bearer(s.tokenOf(t, "mary")), named)
	s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+id+":disarm", struct{}{}, bearer(s.tokenOf(t, "mary")))
	panelAt := s.systems(t, bearer(s.tokenOf(t, "alice")))["Berkeley"].ID
	s.api(t, http.StatusOK, http.MethodPost, "/api/v1/securitysystems/"+panelAt+"/panel", struct{}{}, bearer(s.tokenOf(t, "alice")), func(r *http.Request) {
		r.Header.Set("X-Request-Id", "a-panel-of-alice")
	})

	armed := s.audit(t, "securitysystem?action=system.&target="+id)
	mary := s.user(t, "mary").Sub
	if len(armed) < 2 || armed[0].Action != "system.disarm" || armed[1].Action != "system.arm" || armed[1].Actor != mary || armed[1].ClientID != "demo-trusted" ||
		armed[1].Via != "gateway" || len(armed[1].Through) != 0 || armed[1].RequestID != "an-armed-system" || armed[1].Details["mode"] != "STAY" || armed[1].Address != "127.0.0.1" || armed[1].Result != "ok" {
		t.Errorf("mary's deeds: %+v", armed)
	}
	eventually(t, "the refusal is recorded", func() error {
		denied := s.audit(t, "securitysystem?action=call.deny&actor="+s.user(t, "victor").Sub)
		if !slices.ContainsFunc(denied, func(e recorded) bool {
			return e.Target == "/realguardio.securitysystem.v1.SecuritySystemService/ArmSecuritySystem" && e.Result == "ROLE_MISSING" && e.Via == "gateway" && e.Address == "127.0.0.1"
		}) {
			return problem("%+v", denied)
		}
		return nil
	})
	// What the security system service asks the token service for names, by the parts' word, where it came from.
	made := s.audit(t, "token?action=panel.create&actor=securitysystem")
	i := slices.IndexFunc(made, func(e recorded) bool { return e.RequestID == "a-panel-of-alice" })
	if i < 0 || made[i].Via != "securitysystem" || !slices.Equal(made[i].Through, []string{"gateway"}) || made[i].Address != "127.0.0.1" {
		t.Errorf("alice's panel: %+v", made)
	}
	if registered := s.audit(t, "securitysystem?action=panel.register&target="+panelAt); len(registered) == 0 || registered[0].Actor != s.user(t, "alice").Sub ||
		registered[0].Details["panel"] != made[max(i, 0)].Target {
		t.Errorf("alice's panel: %+v", registered)
	}
	// By native gRPC as well, and nobody of a company.
	logs := auditv1.NewAuditServiceClient(s.dial(t, "gateway"))
	for _, part := range []string{"token", "customer", "securitysystem", "notification"} {
		answer, err := logs.ListEntries(withToken(t.Context(), s.tokenOf(t, "admin")), &auditv1.ListEntriesRequest{Part: part})
		if err != nil || len(answer.GetEntries()) == 0 && part != "notification" {
			t.Errorf("%s: %v, %v", part, answer, err)
		}
		s.api(t, http.StatusForbidden, http.MethodGet, "/api/v1/audit/"+part, nil, bearer(s.tokenOf(t, "alice")))
	}
	s.api(t, http.StatusBadRequest, http.MethodGet, "/api/v1/audit/gateway", nil, bearer(s.tokenOf(t, "admin")))
}

// verified is what is said of a part's audit log.
type verified struct{ Part, Entries, Result, Head string }

// verifyAudit changes and takes out entries in the databases of a stand, beside the parts.
func verifyAudit(t *testing.T, s *stand, dir string) {
	verify := func(t *testing.T, code int, args ...string) (all []verified, problems string) {
		t.Helper()
		got, stdout, stderr := run(t, nil, s.here(append([]string{"audit", "verify"}, args...)...)...)
		if err := json.Unmarshal([]byte(stdout), &all); got != code || err != nil {
			t.Fatalf("exit code %d, want %d; %v\n%s%s", got, code, err, stdout, stderr)
		}
		return all, stderr
	}
	change := func(t *testing.T, part, sql string) {
		t.Helper()
		db, err := database.Open(t.Context(), "sqlite://"+filepath.Join(dir, part+".db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	all, _ := verify(t, 0)
	if len(all) != 4 || slices.ContainsFunc(all, func(v verified) bool { return v.Result != "whole" }) || all[2].Part != "securitysystem" || all[2].Entries == "0" {
		t.Fatalf("%+v", all)
	}
	if again, _ := verify(t, 0, "--part", "securitysystem", "--known", all[2].Head); len(again) != 1 || !strings.HasPrefix(again[0].Head, "securitysystem:"+again[0].Entries+":") {
		t.Errorf("%+v", again)
	}
	another := "securitysystem:1:" + strings.Repeat("0", 64)
	if got, said := verify(t, 1, "--part", "securitysystem", "--known", another); got[0].Result != "entry 1 is not the one that was known" || got[0].Head != "" ||
		!strings.Contains(said, "the audit log of securitysystem was changed: entry 1 is not the one that was known") {
		t.Errorf("%+v %s", got, said)
	}
	change(t, "securitysystem", `UPDATE audit_entries SET actor = 'usr_nobody' WHERE action = 'system.arm'`)
	change(t, "token", `DELETE FROM audit_entries WHERE number = 2`)
	got, said := verify(t, 1)
	if got[0].Result != "entry 2 is missing" || got[1].Result != "whole" || !strings.HasSuffix(got[2].Result, " is not as it was written") || got[3].Result != "whole" ||
		!strings.Contains(said, "the audit log of token was changed: entry 2 is missing\n") || strings.Count(said, "\n") != 2 {
		t.Errorf("%+v %s", got, said)
	}
	if code, _, stderr := run(t, nil, "audit", "verify", "--ready-file", s.path, "--user", "alice@acme.example"); code != 1 || strings.Count(stderr, "cannot read the audit log of") != 4 {
		t.Errorf("alice: exit code %d\n%s", code, stderr)
	}
}

func TestWhatIsToBeVerifiedIsSaidRight(t *testing.T) {
	head := "customer:1:" + strings.Repeat("0", 64)
	for name, args := range map[string][]string{
		"a part without a log":         {"--part", "gateway"},
		"a head of no part":            {"--known", "gateway:1:" + strings.Repeat("0", 64)},
		"a head without its hash":      {"--known", "customer:1"},
		"a head whose hash is cut off": {"--known", "customer:1:00"},
		"a head of no number":          {"--known", "customer:0:" + strings.Repeat("0", 64)},
		"two heads of a part":          {"--known", head + "," + head},
		"a head of another part":       {"--part", "token", "--known", head},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, stderr := run(t, nil, append([]string{"audit", "verify"}, args...)...); code != 2 || !strings.Contains(stderr, "--known: ") && !strings.Contains(stderr, "--part: ") {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
		})
	}
}

// TestALongLogIsReadAsFastAsIsAllowed has a gateway that takes the first request for one too many.
func TestALongLogIsReadAsFastAsIsAllowed(t *testing.T) {
	asked := 0
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 { // one after the other
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"reason":"RATE_LIMITED"}`, http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"lastNumber":"1","fromLaterVersions":true}`)
	}))
	defer gateway.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, nil, "audit", "verify", "--part", "customer", "--gateway", gateway.URL, "--token-file", token)
	if code != 1 || asked != 2 || !strings.Contains(stdout, "entry 1 is missing") {
		t.Errorf("exit code %d after %d requests\n%s%s", code, asked, stdout, stderr)
	}
}
