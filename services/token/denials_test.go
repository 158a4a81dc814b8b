package token_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
)

// TestWhomTheGuardRefusesIsRecorded has alice try what only an administrator may, who then sees it in the log.
func TestWhomTheGuardRefusesIsRecorded(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		a := s.serveRPC().administered()
		id := s.user(alice, alicePassword)
		admin, asAlice := tokenv1.NewAdminServiceClient(a.dial("customer")), meshtest.As(t.Context(), s.tokens().str("access_token"))
		before := len(s.entries(audit.Filter{}, nil))
		for range 50 {
			if _, err := admin.DisableUser(asAlice, &tokenv1.DisableUserRequest{UserId: id}); status.Code(err) != codes.PermissionDenied {
				t.Fatalf("%v", err)
			}
		}
		if _, err := admin.DisableUser(meshtest.As(t.Context(), "guess"), &tokenv1.DisableUserRequest{UserId: id}); status.Code(err) != codes.Unauthenticated {
			t.Fatalf("%v", err)
		}
		s.recorded(before + 1)
		log, err := auditv1.NewAuditServiceClient(a.dial("gateway")).ListEntries(a.ctx, &auditv1.ListEntriesRequest{Part: "token", Action: "call."})
		if err != nil || len(log.GetEntries()) != 1 {
			t.Fatalf("%v, %v", log, err)
		}
		e := log.GetEntries()[0]
		if e.GetActor() != id || e.GetClientId() != "web" || e.GetAction() != "call.deny" || e.GetTarget() != "/realguardio.token.v1.AdminService/DisableUser" ||
			e.GetResult() != "ROLE_MISSING" || e.GetVia() != "customer" || e.GetRequestId() == "" {
			t.Errorf("%v", e)
		}
		s.stop() // what was counted is recorded
		got := s.entries(audit.Filter{Action: "call.deny"}, map[string]string{id: "alice"})
		if len(got) > 2 || !strings.HasPrefix(got[0], "call.deny alice web") {
			t.Errorf("%d entries: %q", len(got), got)
		}
		list, err := audit.List(t.Context(), s.db, audit.Filter{Action: "call.deny"}, 0, 10)
		if err != nil || !slices.ContainsFunc(list, func(e audit.Entry) bool { return e.Details["count"] != "" }) {
			t.Errorf("nothing says how many there were: %v, %v", list, err)
		}
	})
}
