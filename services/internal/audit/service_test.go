package audit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

var auditor = meshtest.Claims{Subject: "usr_auditor", Roles: []string{"REALGUARDIO_ADMIN"}, Scopes: []string{"audit.read"}}

func serve(t *testing.T, db *sqldb.DB) (auditv1.AuditServiceClient, *meshtest.Issuer) {
	issuer := meshtest.NewIssuer(t)
	server := meshtest.Serve(t, issuer, meshtest.Part{Name: "token"}, audit.NewService(db, "token").Register)
	t.Run("bad tokens are refused", func(t *testing.T) { meshtest.RefusesBadTokens(t, server) })
	return auditv1.NewAuditServiceClient(server.Dial(t)), issuer
}

func TestAuditService(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		for i := range 7 {
			add(t, db, audit.Entry{Time: noon.Add(time.Duration(i) * time.Second), Actor: fmt.Sprint("usr_", i%2), ClientID: "app",
				Action: []string{"user.disable", "user.enable", "users", "login"}[i%4], Target: fmt.Sprint("t", i%3)})
		}
		client, issuer := serve(t, db)
		ctx := meshtest.As(t.Context(), issuer.Token(t, auditor))
		numbers := func(t *testing.T, req *auditv1.ListEntriesRequest) (got []int64) {
			t.Helper()
			for req.Part = "token"; ; {
				answer, err := client.ListEntries(ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range answer.GetEntries() {
					got = append(got, e.GetNumber())
				}
				if req.PageToken = answer.GetNextPageToken(); req.PageToken == "" {
					return got
				}
			}
		}
		for _, test := range []struct {
			name string
			req  *auditv1.ListEntriesRequest
			want []int64
		}{
			{"all", &auditv1.ListEntriesRequest{}, []int64{7, 6, 5, 4, 3, 2, 1}},
			{"all, page by page", &auditv1.ListEntriesRequest{PageSize: 3}, []int64{7, 6, 5, 4, 3, 2, 1}},
			{"by actor", &auditv1.ListEntriesRequest{Actor: "usr_1", PageSize: 1}, []int64{6, 4, 2}},
			{"by target", &auditv1.ListEntriesRequest{Target: "t0"}, []int64{7, 4, 1}},
			{"by action", &auditv1.ListEntriesRequest{Action: "login"}, []int64{4}},
			{"by how the action begins", &auditv1.ListEntriesRequest{Action: "user."}, []int64{6, 5, 2, 1}},
			{"by no action's whole name", &auditv1.ListEntriesRequest{Action: "user"}, nil},
			{"a pattern is no pattern", &auditv1.ListEntriesRequest{Action: "%."}, nil},
			{"by all three", &auditv1.ListEntriesRequest{Actor: "usr_0", Target: "t1", Action: "user."}, []int64{5}},
			{"by what no column holds", &auditv1.ListEntriesRequest{Actor: "a\x00"}, nil},
			{"SQL is a text", &auditv1.ListEntriesRequest{Target: "' OR 1=1 --"}, nil},
		} {
			t.Run(test.name, func(t *testing.T) {
				if got := numbers(t, test.req); !slices.Equal(got, test.want) {
					t.Errorf("%v", got)
				}
			})
		}
		t.Run("an entry is shown whole", func(t *testing.T) {
			answer, err := client.ListEntries(ctx, &auditv1.ListEntriesRequest{Part: "token", PageSize: 1})
			if err != nil {
				t.Fatal(err)
			}
			e := answer.GetEntries()[0]
			if answer.GetLastNumber() != 7 {
				t.Errorf("the last is %d", answer.GetLastNumber())
			}
			if e.GetActor() != "usr_0" || e.GetClientId() != "app" || e.GetAction() != "users" || e.GetTarget() != "t0" || e.GetResult() != "ok" ||
				!e.GetTime().AsTime().Equal(noon.Add(6*time.Second)) || len(e.GetHash()) != 32 {
				t.Errorf("%v", e)
			}
		})
		for name, token := range map[string]string{
			"no token": "' OR 1=1", "another list's": page.Encode("clients", "3"), "of no number": page.Encode("audit/token", "x"),
			"of no entry": page.Encode("audit/token", "0"), "of a number that we do not write": page.Encode("audit/token", "+3"),
			"of two": page.Encode("audit/token", "3", "4"),
		} {
			t.Run("a forged page token: "+name, func(t *testing.T) {
				_, err := client.ListEntries(ctx, &auditv1.ListEntriesRequest{Part: "token", PageToken: token})
				if status.Code(err) != codes.InvalidArgument {
					t.Errorf("%v", err)
				}
			})
		}
		for name, test := range map[string]struct {
			claims meshtest.Claims
			part   string
			want   codes.Code
		}{
			"without the role":      {meshtest.Claims{Scopes: auditor.Scopes}, "token", codes.PermissionDenied},
			"without the scope":     {meshtest.Claims{Roles: auditor.Roles, Scopes: []string{"admin"}}, "token", codes.PermissionDenied},
			"as a client":           {meshtest.Claims{Subject: "app", Kind: "client", Roles: auditor.Roles, Scopes: auditor.Scopes}, "token", codes.PermissionDenied},
			"of a part without log": {auditor, "gateway", codes.InvalidArgument},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := client.ListEntries(meshtest.As(t.Context(), issuer.Token(t, test.claims)), &auditv1.ListEntriesRequest{Part: test.part})
				if status.Code(err) != test.want {
					t.Errorf("%v", err)
				}
			})
		}
	})
}
