package main_test

import (
	"net/http"
	"slices"
	"testing"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
)

// recorded is an entry of a part's audit log, as REST shows it.
type recorded struct {
	Actor, ClientID, Action, Target, Result, Via, RequestID string
	Actors, Through                                         []string
	Details                                                 map[string]string
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
		armed[1].Via != "gateway" || len(armed[1].Through) != 0 || armed[1].RequestID != "an-armed-system" || armed[1].Details["mode"] != "STAY" || armed[1].Result != "ok" {
		t.Errorf("mary's deeds: %+v", armed)
	}
	eventually(t, "the refusal is recorded", func() error {
		denied := s.audit(t, "securitysystem?action=call.deny&actor="+s.user(t, "victor").Sub)
		if !slices.ContainsFunc(denied, func(e recorded) bool {
			return e.Target == "/realguardio.securitysystem.v1.SecuritySystemService/ArmSecuritySystem" && e.Result == "ROLE_MISSING" && e.Via == "gateway"
		}) {
			return problem("%+v", denied)
		}
		return nil
	})
	// What the security system service asks the token service for names, by the parts' word, where it came from.
	made := s.audit(t, "token?action=panel.create&actor=securitysystem")
	i := slices.IndexFunc(made, func(e recorded) bool { return e.RequestID == "a-panel-of-alice" })
	if i < 0 || made[i].Via != "securitysystem" || !slices.Equal(made[i].Through, []string{"gateway"}) {
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
