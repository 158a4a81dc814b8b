package token_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// account signs alice in at a client of ours that may see and change her account, and returns the token.
func (b *browser) account() string {
	b.t.Helper()
	me := adminConsole
	me.ID, me.Scopes = "me", []string{"openid", "account.read", "account.write"}
	if _, err := b.EnsureClient(b.t.Context(), me); err != nil {
		b.t.Fatal(err)
	}
	code := b.open(asks("me", webCallback, "scope", strings.Join(me.Scopes, " "))).location(b.t).Query().Get("code")
	if code == "" {
		code = b.code(asks("me", webCallback, "scope", strings.Join(me.Scopes, " ")))
	}
	return b.post("/oauth2/token", "me", webSecret, redeems(b.logs.secret(code), webCallback)).str("access_token")
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		a := r.administered()
		me := tokenv1.NewAccountServiceClient(r.dial("gateway"))
		alices, bobs := s.user(alice, alicePassword), s.user("bob@foo.example", "another password")
		here, there := s.browser(), s.browser()
		tokens := there.redeem()
		mine := meshtest.As(t.Context(), here.account())
		sessionID := sessionOf(t, tokens.str("access_token"))
		s.browser().signIn(asks("web", webCallback), "bob@foo.example", "another password")
		bob, err := a.admin.ListUserSessions(a.ctx, &tokenv1.ListUserSessionsRequest{UserId: bobs})
		if err != nil || len(bob.GetSessions()) != 1 {
			t.Fatalf("%v, %v", bob, err)
		}

		t.Run("the caller's own, the newest first, the one in use marked", func(t *testing.T) {
			list, err := me.ListMySessions(mine, &tokenv1.ListMySessionsRequest{})
			if err != nil || len(list.GetSessions()) != 2 {
				t.Fatalf("%v, %v", list, err)
			}
			first, second := list.GetSessions()[0], list.GetSessions()[1]
			if !first.GetCurrent() || second.GetCurrent() || second.GetId() != sessionID || !slices.Equal(first.GetClientIds(), []string{"me"}) ||
				!slices.Equal(second.GetClientIds(), []string{"web"}) {
				t.Errorf("%v", list)
			}
			if first.GetAddress() != "127.0.0.1" || !strings.HasPrefix(first.GetUserAgent(), "Go-http-client") || !first.GetExpireTime().AsTime().After(s.clock.Now()) {
				t.Errorf("%v", first)
			}
		})
		t.Run("to who has no right to, not at all", func(t *testing.T) {
			plain := meshtest.As(t.Context(), tokens.str("access_token"))
			if _, err := me.ListMySessions(plain, &tokenv1.ListMySessionsRequest{}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("without the scope: %v", err)
			}
			if _, err := a.admin.ListUserSessions(mine, &tokenv1.ListUserSessionsRequest{UserId: bobs}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("without the role: %v", err)
			}
			for name, id := range map[string]string{"of nobody": "usr_none", "of a NUL": "usr\x00"} {
				if _, err := a.admin.ListUserSessions(a.ctx, &tokenv1.ListUserSessionsRequest{UserId: id}); status.Code(err) != codes.NotFound {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
		t.Run("nobody ends somebody else's", func(t *testing.T) {
			for name, id := range map[string]string{"another person's": bob.GetSessions()[0].GetId(), "none": "ses_none", "a NUL": "ses\x00"} {
				if _, err := me.EndMySession(mine, &tokenv1.EndMySessionRequest{SessionId: id}); status.Code(err) != codes.NotFound {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := a.admin.EndUserSession(a.ctx, &tokenv1.EndUserSessionRequest{UserId: alices, SessionId: id}); status.Code(err) != codes.NotFound {
					t.Errorf("%s, by an admin under the wrong account: %v", name, err)
				}
			}
			if still, err := a.admin.ListUserSessions(a.ctx, &tokenv1.ListUserSessionsRequest{UserId: bobs}); err != nil || len(still.GetSessions()) != 1 {
				t.Errorf("%v, %v", still, err)
			}
		})
		t.Run("ending one of the caller's ends what came of it, and the others stay", func(t *testing.T) {
			for range 2 {
				if _, err := me.EndMySession(mine, &tokenv1.EndMySessionRequest{SessionId: sessionID}); err != nil {
					t.Fatal(err)
				}
			}
			r.ends(t, tokens.str("access_token"))
			refused(t, s.refresh(tokens.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
			if there.signedIn() {
				t.Error("the browser is still signed in")
			}
			if list, err := me.ListMySessions(mine, &tokenv1.ListMySessionsRequest{}); err != nil || len(list.GetSessions()) != 1 || !here.signedIn() {
				t.Errorf("%v, %v", list, err)
			}
		})
		t.Run("an admin ends one", func(t *testing.T) {
			if _, err := a.admin.EndUserSession(a.ctx, &tokenv1.EndUserSessionRequest{UserId: bobs, SessionId: bob.GetSessions()[0].GetId()}); err != nil {
				t.Fatal(err)
			}
			if list, err := a.admin.ListUserSessions(a.ctx, &tokenv1.ListUserSessionsRequest{UserId: bobs}); err != nil || len(list.GetSessions()) != 0 {
				t.Errorf("%v, %v", list, err)
			}
		})
		t.Run("everywhere", func(t *testing.T) {
			again := there.redeem()
			if _, err := me.SignOutEverywhere(mine, &tokenv1.SignOutEverywhereRequest{}); err != nil {
				t.Fatal(err)
			}
			r.ends(t, again.str("access_token"))
			if list, err := a.admin.ListUserSessions(a.ctx, &tokenv1.ListUserSessionsRequest{UserId: alices}); err != nil || len(list.GetSessions()) != 0 || here.signedIn() {
				t.Errorf("%v, %v", list, err)
			}
		})
		t.Run("everywhere, by an admin", func(t *testing.T) {
			again := there.redeem()
			if _, err := a.admin.SignOutUser(a.ctx, &tokenv1.SignOutUserRequest{UserId: alices}); err != nil {
				t.Fatal(err)
			}
			r.ends(t, again.str("access_token"))
			if _, err := a.admin.SignOutUser(a.ctx, &tokenv1.SignOutUserRequest{UserId: "usr_none"}); status.Code(err) != codes.NotFound {
				t.Errorf("nobody: %v", err)
			}
		})
	})
}

func TestWhatABrowserSaysOfItselfIsBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		id := a.user(alice, alicePassword)
		b := a.browser()
		page := b.open(b.open(asks("web", webCallback)).location(t).RequestURI())
		form := page.form()
		form.Set("username", alice)
		form.Set("password", alicePassword)
		b.submit("/login", form, "User-Agent", "\xff\xfeEvil<script>\u200b"+strings.Repeat("é", 1000))
		list, err := a.admin.ListUserSessions(a.ctx, &tokenv1.ListUserSessionsRequest{UserId: id})
		if err != nil || len(list.GetSessions()) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		if agent := list.GetSessions()[0].GetUserAgent(); !strings.HasPrefix(agent, "Evil<script>é") || len(agent) > 256 {
			t.Errorf("%q", agent)
		}
	})
}

// partnerScopes is what the partner asks for; for access while people are away it has to ask them every time.
const partnerScopes = "openid profile email securitysystem.read offline_access"

// consenting signs alice in at the partner, allows what it asks for, and returns the code.
func (b *browser) consenting(more ...string) string {
	b.t.Helper()
	request := asks("partner", partnerURI, append([]string{"scope", partnerScopes, "prompt", "consent"}, more...)...)
	answer := b.open(request)
	to := answer.location(b.t)
	if to.Path == "/login" {
		to = b.signIn(request, alice, alicePassword).location(b.t)
	}
	if to.Path == "/consent" {
		form := b.open(to.RequestURI()).form()
		form.Set("decision", "allow")
		to = b.submit("/consent", form).location(b.t)
	}
	code := to.Query().Get("code")
	if code == "" {
		b.t.Fatalf("no code in %s", to)
	}
	return b.logs.secret(code)
}

func (s *server) partner(code string) reply {
	s.t.Helper()
	return s.post("/oauth2/token", "partner", partnerSecret, redeems(code, partnerURI))
}

func TestConsentsAreListedAndTakenBack(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		a := r.administered()
		me := tokenv1.NewAccountServiceClient(r.dial("gateway"))
		alices, bobs := s.user(alice, alicePassword), s.user("bob@foo.example", "another password")
		b, elsewhere := s.browser(), s.browser()
		own := b.redeem()
		mine := meshtest.As(t.Context(), b.account())
		for name, revoke := range map[string]func() error{
			"by the person": func() error {
				return second(me.RevokeMyConsent(mine, &tokenv1.RevokeMyConsentRequest{ClientId: "partner"}))
			},
			"by an admin": func() error {
				return second(a.admin.RevokeUserConsent(a.ctx, &tokenv1.RevokeUserConsentRequest{UserId: alices, ClientId: "partner"}))
			},
		} {
			t.Run(name, func(t *testing.T) {
				tokens, others := s.partner(b.consenting()), s.partner(elsewhere.consenting())
				unredeemed := b.consenting()
				list, err := me.ListMyConsents(mine, &tokenv1.ListMyConsentsRequest{})
				if err != nil || len(list.GetConsents()) != 1 || list.GetConsents()[0].GetClientId() != "partner" || list.GetConsents()[0].GetClientName() != "Partner <b>&" ||
					!slices.Equal(list.GetConsents()[0].GetScopes(), strings.Fields(partnerScopes)) {
					t.Fatalf("%v, %v", list, err)
				}
				for range 2 {
					if err := revoke(); err != nil {
						t.Fatal(err)
					}
				}
				for _, ended := range []reply{tokens, others} {
					r.ends(t, ended.str("access_token"))
					refused(t, s.post("/oauth2/token", "partner", partnerSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {ended.str("refresh_token")}}),
						http.StatusBadRequest, "invalid_grant")
				}
				refused(t, s.partner(unredeemed), http.StatusBadRequest, "invalid_grant")
				if to := b.open(asks("partner", partnerURI)).location(t); to.Path != "/consent" {
					t.Errorf("not asked again: %s", to)
				}
				if list, err := a.admin.ListUserConsents(a.ctx, &tokenv1.ListUserConsentsRequest{UserId: alices}); err != nil || len(list.GetConsents()) != 0 {
					t.Errorf("%v, %v", list, err)
				}
				if !s.accepted(own.str("access_token")) || s.introspect("gateway", serviceSecret, own.str("access_token")).json["active"] != true {
					t.Error("what another application holds has ended too")
				}
			})
		}
		t.Run("of somebody else, of nothing and of nobody", func(t *testing.T) {
			s.partner(b.consenting())
			for _, client := range []string{"web", "nothing", "a\x00"} {
				if _, err := me.RevokeMyConsent(mine, &tokenv1.RevokeMyConsentRequest{ClientId: client}); err != nil && client != "web" {
					t.Errorf("what is not there, %q: %v", client, err)
				}
			}
			if _, err := a.admin.RevokeUserConsent(a.ctx, &tokenv1.RevokeUserConsentRequest{UserId: bobs, ClientId: "partner"}); err != nil {
				t.Error(err)
			}
			if _, err := a.admin.RevokeUserConsent(a.ctx, &tokenv1.RevokeUserConsentRequest{UserId: "usr_none", ClientId: "partner"}); status.Code(err) != codes.NotFound {
				t.Errorf("nobody: %v", err)
			}
			if _, err := a.admin.RevokeUserConsent(mine, &tokenv1.RevokeUserConsentRequest{UserId: alices, ClientId: "partner"}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("without the role: %v", err)
			}
			if list, err := me.ListMyConsents(mine, &tokenv1.ListMyConsentsRequest{}); err != nil || len(list.GetConsents()) != 1 {
				t.Errorf("%v, %v", list, err)
			}
		})
	})
}

// TestARevocationAndARedemptionAtOnce: whichever is first, afterwards the client has nothing.
func TestARevocationAndARedemptionAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		id := s.user(alice, alicePassword)
		b := s.browser()
		for range 8 {
			code := b.consenting()
			var tokens reply
			var running sync.WaitGroup
			running.Go(func() { tokens = s.partner(code) })
			running.Go(func() {
				if err := s.OAuth().RevokeConsent(t.Context(), id, "partner"); err != nil {
					t.Error(err)
				}
			})
			running.Wait()
			if tokens.status == http.StatusOK && s.accepted(tokens.str("access_token")) {
				t.Fatal("a grant outlives the consent")
			}
		}
	})
}

// TestAnApplicationThatIsOursNoMoreHasToAsk: what it had been given unasked is over, whatever it was.
func TestAnApplicationThatIsOursNoMoreHasToAsk(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		a := s.serveRPC().administered()
		b := s.browser()
		request := asks("web", webCallback, "scope", "openid offline_access")
		redeem := func(code string) reply { return s.post("/oauth2/token", "web", webSecret, redeems(code, webCallback)) }
		tokens := redeem(b.code(request))
		code := s.logs.secret(b.open(request).location(t).Query().Get("code"))
		if r := s.refresh(tokens.str("refresh_token")); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		} else {
			tokens = r
		}
		if _, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: &tokenv1.Client{ClientId: "web"},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"first_party"}}}); err != nil {
			t.Fatal(err)
		}
		refused(t, redeem(code), http.StatusBadRequest, "invalid_grant")
		refused(t, s.refresh(tokens.str("refresh_token")), http.StatusBadRequest, "invalid_grant")
		if r := s.introspect("web", webSecret, tokens.str("refresh_token")); r.json["active"] != false {
			t.Errorf("introspected: %s", r.body)
		}
		to := b.open(request).location(t)
		if to.Path != "/consent" {
			t.Fatalf("not asked: %s", to)
		}
		form := b.open(to.RequestURI()).form()
		form.Set("decision", "allow")
		tokens = redeem(s.logs.secret(b.submit("/consent", form).location(t).Query().Get("code")))
		if r := s.refresh(tokens.str("refresh_token")); r.status != http.StatusOK {
			t.Errorf("asked and allowed: %d %s", r.status, r.body)
		}
	})
}
