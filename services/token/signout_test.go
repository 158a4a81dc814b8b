package token_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token/account"
)

// signedIn tells whether a browser is signed in: an authorization request is then answered with a code.
func (b *browser) signedIn() bool {
	b.t.Helper()
	return b.open(asks("web", webCallback, "prompt", "none")).location(b.t).Query().Get("code") != ""
}

// sessionOf is the login session that an access token came of.
func sessionOf(t *testing.T, access string) string {
	t.Helper()
	sid, _ := claimsOf(t, access)["sid"].(string)
	if sid == "" {
		t.Fatal("a token of no session")
	}
	return sid
}

// redeem signs alice in in this browser and redeems the code.
func (b *browser) redeem() reply {
	b.t.Helper()
	return b.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
}

func TestSigningAPersonOut(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.boss()
		me := tokenv1.NewAccountServiceClient(r.dial("customer"))
		id := s.user(alice, alicePassword)
		password := func() reply {
			return s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}})
		}
		t.Run("ends every session, grant and token but those of the session that is kept", func(t *testing.T) {
			here, there, bob := s.browser(), s.browser(), s.browser()
			kept, other, direct := here.redeem(), there.redeem(), password()
			s.user("bob@foo.example", "another password")
			bob.signIn(asks("web", webCallback), "bob@foo.example", "another password")
			if err := s.OAuth().SignOutUser(t.Context(), id, sessionOf(t, kept.str("access_token"))); err != nil {
				t.Fatal(err)
			}
			for name, ended := range map[string]reply{"of the session kept": kept, "of another session": other, "of no session": direct} {
				r.ends(t, ended.str("access_token"))
				if s.accepted(ended.str("access_token")) {
					t.Errorf("a token %s is accepted here", name)
				}
			}
			refused(t, s.refresh(other.str("refresh_token")), 400, "invalid_grant")
			refused(t, s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"refresh_token"},
				"refresh_token": {direct.str("refresh_token")}}), 400, "invalid_grant")
			if !here.signedIn() || there.signedIn() || !bob.signedIn() {
				t.Error("signed in here, there, as bob:", here.signedIn(), there.signedIn(), bob.signedIn())
			}
			again := s.refresh(kept.str("refresh_token"))
			if again.status != http.StatusOK || !s.accepted(again.str("access_token")) {
				t.Fatalf("the session kept cannot renew: %d %s", again.status, again.body)
			}
			if _, err := me.GetMe(meshtest.As(t.Context(), again.str("access_token")), &tokenv1.GetMeRequest{}); err != nil {
				t.Errorf("renewed tokens are refused: %v", err)
			}
			if fresh := password(); !s.accepted(fresh.str("access_token")) {
				t.Errorf("alice cannot sign in again: %s", fresh.body)
			}
		})
		t.Run("leaves a mark in Redis, and ends the same when that is lost", func(t *testing.T) {
			tokens := s.tokens()
			if err := s.OAuth().SignOutUser(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
			grant, _ := claimsOf(t, tokens.str("access_token"))["gid"].(string)
			if n := s.redis.Exists(t.Context(), "rgt:revoked:"+grant).Val(); n != 1 {
				t.Error("the grant is not marked")
			}
			if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			refused(t, s.refresh(tokens.str("refresh_token")), 400, "invalid_grant")
			if s.accepted(tokens.str("access_token")) {
				t.Error("a flush revived a token")
			}
		})
		t.Run("ends codes that were not redeemed yet", func(t *testing.T) {
			code := s.browser().code(asks("web", webCallback))
			if err := s.OAuth().SignOutUser(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
			refused(t, s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)), 400, "invalid_grant")
		})
		t.Run("ends a session that was being opened meanwhile", func(t *testing.T) {
			b := s.browser()
			tokens := b.redeem()
			if err := s.OAuth().SignOutUser(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
			// As a login leaves it that had read the account before, and stored its session after.
			if _, err := s.db.Exec(t.Context(), `UPDATE sessions SET ended_at = 0 WHERE id = $1`, sessionOf(t, tokens.str("access_token"))); err != nil {
				t.Fatal(err)
			}
			if b.signedIn() {
				t.Error("the session lives")
			}
			// Nor is it taken along later.
			for _, roles := range [][]string{{"REALGUARDIO_CUSTOMER_EMPLOYEE"}, nil} {
				if _, err := r.admin.SetUserRoles(r.root(t.Context()), &tokenv1.SetUserRolesRequest{UserId: id, Roles: roles}); err != nil {
					t.Fatal(err)
				}
			}
			if b.signedIn() {
				t.Error("the session came back to life")
			}
		})
		t.Run("of nobody changes nothing", func(t *testing.T) {
			if err := s.OAuth().SignOutUser(t.Context(), "usr_nobody", ""); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
		})
	})
}
