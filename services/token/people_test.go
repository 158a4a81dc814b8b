package token_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestSomebodyIsInvitedAndSignsIn(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		b := d.boss()
		ctx := b.root(t.Context())
		const ada = "Ada@Example.com"
		made, err := b.admin.InviteUser(ctx, &tokenv1.InviteUserRequest{Email: ada, Name: "Ada Quinn", Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}})
		if err != nil || !made.GetUser().GetInvited() || made.GetUser().GetEmailVerified() || made.GetUser().GetDisabled() {
			t.Fatalf("%v, %v", made, err)
		}
		id := made.GetUser().GetId()
		first, _ := d.link(d.letter(ada, 1))
		if l := d.letter(ada, 1); l.Subject() != "Your RealGuardIO account" || strings.Contains(l.Raw, "Quinn") {
			t.Errorf("%s", l.Raw)
		}
		_, err = b.admin.InviteUser(ctx, &tokenv1.InviteUserRequest{Email: "ADA@example.com", Name: "Another"})
		refuses(t, err, codes.AlreadyExists, "")
		if page := d.browser().login(asks("web", webCallback), ada, ""); page.status != http.StatusForbidden {
			t.Errorf("who is invited signs in without a password: %d", page.status)
		}
		if _, err := b.admin.ResendInvitation(ctx, &tokenv1.ResendInvitationRequest{UserId: id}); err != nil {
			t.Fatal(err)
		}
		second, _ := d.link(d.letter(ada, 2))
		if page := d.browser().open(first); page.status != 400 {
			t.Errorf("the link before the last: %d", page.status)
		}
		page := d.browser().open(second)
		if !strings.Contains(page.body, "<h1>Choose a password</h1>") || !strings.Contains(page.body, ada) {
			t.Errorf("%s", page.body)
		}
		if done := d.browser().choose(second, chosen); done.status != 200 {
			t.Fatalf("%d %s", done.status, done.body)
		}
		got, err := b.admin.GetUser(ctx, &tokenv1.GetUserRequest{UserId: id})
		if err != nil || got.GetUser().GetInvited() || !got.GetUser().GetEmailVerified() {
			t.Errorf("%v, %v", got, err)
		}
		if page := d.browser().login(asks("web", webCallback), ada, chosen); page.status != http.StatusSeeOther {
			t.Errorf("ada cannot sign in: %d", page.status)
		}
		_, err = b.admin.ResendInvitation(ctx, &tokenv1.ResendInvitationRequest{UserId: id})
		refuses(t, err, codes.FailedPrecondition, "NOT_INVITED")
		d.settled()
		if n := len(d.office.Taken()); n != 2 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestAPersonWhoIsProvisionedIsInvitedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		b := d.boss()
		ctx := b.as(t.Context(), "customer")
		for _, who := range []string{"new@acme.example", "NEW@acme.example", alice} {
			if _, err := b.admin.ProvisionUser(ctx, &tokenv1.ProvisionUserRequest{Email: who, Name: "New", Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}}); err != nil {
				t.Fatal(err)
			}
		}
		path, _ := d.link(d.letter("new@acme.example", 1))
		d.settled()
		if n := len(d.office.Taken()); n != 1 {
			t.Errorf("%d letters", n)
		}
		if page := d.browser().choose(path, chosen); page.status != 200 {
			t.Errorf("%d", page.status)
		}
	})
}

func TestWithoutAMailServerNobodyIsInvited(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.boss()
		ctx := b.root(t.Context())
		before := s.count(`SELECT count(*) FROM users`)
		_, err := b.admin.InviteUser(ctx, &tokenv1.InviteUserRequest{Email: "ada@example.com", Name: "Ada"})
		refuses(t, err, codes.FailedPrecondition, "MAIL_NOT_CONFIGURED")
		if after := s.count(`SELECT count(*) FROM users`); after != before {
			t.Errorf("%d accounts, then %d", before, after)
		}
		// Provisioning still makes the account: an operator hands the link over.
		made, err := b.admin.ProvisionUser(b.as(t.Context(), "customer"), &tokenv1.ProvisionUserRequest{Email: "ada@example.com", Name: "Ada"})
		if err != nil || !made.GetUser().GetInvited() {
			t.Fatalf("%v, %v", made, err)
		}
		link, _, err := s.PasswordLink(t.Context(), "ada@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if page := s.browser().choose(strings.TrimPrefix(link, s.url), chosen); page.status != 200 || !strings.Contains(page.body, "saved") {
			t.Errorf("%d %s", page.status, page.body)
		}
		// Nothing was sent to the address: no application, and no other provider's word, is to go by it.
		got, err := b.admin.GetUser(ctx, &tokenv1.GetUserRequest{UserId: made.GetUser().GetId()})
		if err != nil || got.GetUser().GetInvited() || got.GetUser().GetEmailVerified() {
			t.Errorf("after an operator's link: %v, %v", got, err)
		}
	})
}

func TestDisablingAnAccountEndsItEverywhere(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.boss()
		id := s.user(alice, alicePassword)
		tokens, at := b.open(alice, alicePassword)
		partner := s.browser()
		other := partner.redeem()
		for range 2 { // repeating it changes nothing
			b.disable(t, id)
		}
		for _, access := range []string{tokens.str("access_token"), other.str("access_token")} {
			b.ends(t, access)
			if s.accepted(access) {
				t.Error("a token is accepted")
			}
		}
		refused(t, s.refresh(other.str("refresh_token")), 400, "invalid_grant")
		if at.signedIn() || partner.signedIn() {
			t.Error("somebody is signed in")
		}
		if page := s.browser().login(asks("web", webCallback), alice, alicePassword); page.status != http.StatusForbidden {
			t.Errorf("signing in: %d", page.status)
		}
		b.enable(t, id)
		refused(t, s.refresh(other.str("refresh_token")), 400, "invalid_grant")
		if at.signedIn() || s.accepted(tokens.str("access_token")) {
			t.Error("what was ended came back")
		}
		if page := s.browser().login(asks("web", webCallback), alice, alicePassword); page.status != http.StatusSeeOther {
			t.Errorf("signing in again: %d", page.status)
		}
	})
}

func TestARoleThatIsTakenAwayEndsItsTokens(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.boss()
		id := s.user("second@realguardio.example", "another admin password", "REALGUARDIO_ADMIN", "REALGUARDIO_CUSTOMER_EMPLOYEE")
		tokens, at := b.open("second@realguardio.example", "another admin password")
		as := meshtest.As(t.Context(), tokens.str("access_token"))
		if _, err := b.admin.ListUsers(as, &tokenv1.ListUsersRequest{}); err != nil {
			t.Fatal(err)
		}
		got, err := b.admin.SetUserRoles(b.root(t.Context()), &tokenv1.SetUserRolesRequest{UserId: id, Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}})
		if err != nil || len(got.GetUser().GetRoles()) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		b.ends(t, tokens.str("access_token"))
		again := s.post("/oauth2/token", "account", webSecret, map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {tokens.str("refresh_token")}})
		if again.status != http.StatusOK || !at.signedIn() {
			t.Fatalf("they were signed out: %d %s", again.status, again.body)
		}
		_, err = b.admin.ListUsers(meshtest.As(t.Context(), again.str("access_token")), &tokenv1.ListUsersRequest{})
		refuses(t, err, codes.PermissionDenied, "")
		if _, err := b.admin.SetUserRoles(b.root(t.Context()), &tokenv1.SetUserRolesRequest{UserId: id, Roles: []string{"REALGUARDIO_ADMIN", "REALGUARDIO_CUSTOMER_EMPLOYEE"}}); err != nil {
			t.Fatal(err)
		}
		if !s.accepted(again.str("access_token")) {
			t.Error("a role that was given ended tokens")
		}
	})
}

func TestThereIsAlwaysAnAdmin(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.boss()
		id := s.user(bossEmail, bossPassword)
		ctx := b.root(t.Context())
		_, err := b.admin.DisableUser(ctx, &tokenv1.DisableUserRequest{UserId: id})
		refuses(t, err, codes.FailedPrecondition, "LAST_ADMIN")
		_, err = b.admin.SetUserRoles(ctx, &tokenv1.SetUserRolesRequest{UserId: id})
		refuses(t, err, codes.FailedPrecondition, "LAST_ADMIN")
		if got, err := b.admin.GetUser(ctx, &tokenv1.GetUserRequest{UserId: id}); err != nil || got.GetUser().GetDisabled() || len(got.GetUser().GetRoles()) != 1 {
			t.Errorf("%v, %v", got, err)
		}
		t.Run("who was invited and has not come yet does not stand in", func(t *testing.T) {
			guest, err := b.admin.ProvisionUser(b.as(t.Context(), "customer"),
				&tokenv1.ProvisionUserRequest{Email: "guest@realguardio.example", Name: "Guest", Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}})
			if err != nil {
				t.Fatal(err)
			}
			guestID := guest.GetUser().GetId()
			if _, err := b.admin.SetUserRoles(ctx, &tokenv1.SetUserRolesRequest{UserId: guestID, Roles: []string{"REALGUARDIO_ADMIN"}}); err != nil {
				t.Fatal(err)
			}
			_, err = b.admin.SetUserRoles(ctx, &tokenv1.SetUserRolesRequest{UserId: id})
			refuses(t, err, codes.FailedPrecondition, "LAST_ADMIN")
			b.disable(t, guestID)
		})
		t.Run("of several who end each other one remains", func(t *testing.T) {
			ids := []string{id}
			for _, who := range []string{"second@realguardio.example", "third@realguardio.example", "fourth@realguardio.example"} {
				ids = append(ids, s.user(who, "another admin password", "REALGUARDIO_ADMIN"))
			}
			var all sync.WaitGroup
			for i, one := range ids {
				all.Go(func() {
					var err error
					if i%2 == 0 {
						_, err = b.admin.DisableUser(ctx, &tokenv1.DisableUserRequest{UserId: one})
					} else {
						_, err = b.admin.SetUserRoles(ctx, &tokenv1.SetUserRolesRequest{UserId: one, Roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}})
					}
					if err != nil && status.Code(err) != codes.FailedPrecondition && status.Code(err) != codes.Unauthenticated {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := s.count(`SELECT count(*) FROM users WHERE NOT disabled AND roles = 'REALGUARDIO_ADMIN'`); n < 1 {
				t.Errorf("%d admins are left", n)
			}
		})
	})
}

func TestAccountsAreListedSearchedAndChanged(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		b := d.boss()
		ctx := b.root(t.Context())
		for _, who := range []string{"zoe@acme.example", "ÄNNE@acme.example", "bob@acme.example"} {
			if _, err := b.admin.InviteUser(ctx, &tokenv1.InviteUserRequest{Email: who, Name: "Ännchen 100%_ " + who[:3]}); err != nil && who != "ÄNNE@acme.example" {
				t.Fatal(err)
			}
		}
		for query, want := range map[string]string{
			"": alice + " bob@acme.example " + bossEmail + " zoe@acme.example", "ACME": alice + " bob@acme.example zoe@acme.example",
			"äNNCHEN": "bob@acme.example zoe@acme.example", "%": "bob@acme.example zoe@acme.example", "_": "bob@acme.example zoe@acme.example",
			"0%_ z": "zoe@acme.example", "' OR 1=1 --": "", "nobody": "",
		} {
			var got []string
			for token := ""; ; {
				listed, err := b.admin.ListUsers(ctx, &tokenv1.ListUsersRequest{Query: query, PageSize: 1, PageToken: token})
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range listed.GetUsers() {
					got = append(got, u.GetEmail())
				}
				if token = listed.GetNextPageToken(); token == "" {
					break
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%q: %v, want %s", query, got, want)
			}
		}
		_, err := b.admin.ListUsers(ctx, &tokenv1.ListUsersRequest{PageToken: "x"})
		refuses(t, err, codes.InvalidArgument, "pageToken")

		id := d.user(alice, alicePassword)
		before := d.tokens()
		changed, err := b.admin.UpdateUser(ctx, &tokenv1.UpdateUserRequest{UserId: id, Name: proto.String("Alice Liddell"), Email: proto.String("alice@new.example")})
		if err != nil || changed.GetUser().GetName() != "Alice Liddell" || changed.GetUser().GetEmailVerified() || changed.GetUser().GetId() != id {
			t.Fatalf("%v, %v", changed, err)
		}
		info := d.get("/oauth2/userinfo", "Authorization", "Bearer "+before.str("access_token"))
		if old := claimsOf(t, before.str("id_token")); info.str("sub") != old["sub"] || info.str("email") != "alice@new.example" ||
			info.str("name") != "Alice Liddell" || old["email"] != alice {
			t.Errorf("UserInfo %s", info.body)
		}
		if l := d.letter(alice, 1); l.Subject() != "Your e-mail address was changed" {
			t.Errorf("%s", l.Subject())
		}
		path, _ := d.link(d.letter("alice@new.example", 1))
		at := d.browser()
		if done := at.submit("/verify", at.open(path).form()); done.status != 200 {
			t.Errorf("%d %s", done.status, done.body)
		}
		if got, err := b.admin.GetUser(ctx, &tokenv1.GetUserRequest{UserId: id}); err != nil || !got.GetUser().GetEmailVerified() {
			t.Errorf("%v, %v", got, err)
		}
		_, err = b.admin.UpdateUser(ctx, &tokenv1.UpdateUserRequest{UserId: id, Email: proto.String("ZOE@acme.example")})
		refuses(t, err, codes.AlreadyExists, "")
		for name, bad := range map[string]string{"a control character": "A\x07", "turned around": "Ada\u202e", "nothing to see": "\u200b", "a NUL": "A\x00"} {
			_, err := b.admin.UpdateUser(ctx, &tokenv1.UpdateUserRequest{UserId: id, Name: &bad})
			refuses(t, err, codes.InvalidArgument, "name")
			_, err = b.admin.InviteUser(ctx, &tokenv1.InviteUserRequest{Email: "x@acme.example", Name: bad})
			refuses(t, err, codes.InvalidArgument, "name")
			_, err = b.admin.CreateClient(ctx, &tokenv1.CreateClientRequest{Name: bad, GrantTypes: []string{"client_credentials"}})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "name") {
				t.Errorf("an application's name, %s: %v", name, err)
			}
		}
		for _, missing := range []string{"usr_nobody", "usr\x00"} {
			_, err := b.admin.GetUser(ctx, &tokenv1.GetUserRequest{UserId: missing})
			refuses(t, err, codes.NotFound, "")
			_, err = b.admin.DisableUser(ctx, &tokenv1.DisableUserRequest{UserId: missing})
			refuses(t, err, codes.NotFound, "")
			_, err = b.admin.SetUserRoles(ctx, &tokenv1.SetUserRolesRequest{UserId: missing})
			refuses(t, err, codes.NotFound, "")
			_, err = b.admin.UpdateUser(ctx, &tokenv1.UpdateUserRequest{UserId: missing, Name: proto.String("X")})
			refuses(t, err, codes.NotFound, "")
			_, err = b.admin.ResendInvitation(ctx, &tokenv1.ResendInvitationRequest{UserId: missing})
			refuses(t, err, codes.NotFound, "")
		}
	})
}
