package token_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/audit/audittest"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// entries returns what was recorded, the oldest first, as "action actor client target result", with names for ids.
func (s *server) entries(f audit.Filter, names map[string]string) (all []string) {
	s.t.Helper()
	named := func(id string) string {
		if name, ok := names[id]; ok {
			return name
		}
		kind, _, _ := strings.Cut(id, "_")
		if id == "" {
			return "-"
		}
		return kind
	}
	for _, e := range audittest.Entries(s.t, s.db, f) {
		all = append(all, fmt.Sprintf("%s %s %s %s %s", e.Action, named(e.Actor), named(e.ClientID), named(e.Target), e.Result))
	}
	return all
}

// recorded waits until there are n entries: refusals are recorded when they have been answered.
func (s *server) recorded(n int) {
	s.t.Helper()
	meshtest.Await(s.t, fmt.Sprintf("there are %d entries", n), func() bool { return len(s.entries(audit.Filter{}, nil)) >= n })
}

func TestWhatPeopleDoIsRecorded(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		id := s.user(alice, alicePassword)
		names := map[string]string{id: "alice", "web": "web", "partner": "partner", "trusted": "trusted"}
		before := len(s.entries(audit.Filter{}, names))
		b := s.browser()
		b.login(asks("web", webCallback), alice, "wrong password")
		b.login(asks("web", webCallback), "nobody@acme.example", "wrong password")
		s.recorded(before + 2)
		tokens := b.redeem()
		deny := b.open(b.open(asks("partner", partnerURI)).location(t).RequestURI()).form()
		deny.Set("decision", "deny")
		b.submit("/consent", deny)
		s.partner(b.consenting())
		s.refresh(tokens.str("refresh_token"))
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {tokens.str("refresh_token")}})
		b.open("/oauth2/logout?id_token_hint=" + tokens.str("id_token"))
		s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}})
		s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {"wrong password"}})
		s.recorded(before + 9)
		got := s.entries(audit.Filter{}, names)[before:]
		want := []string{
			"login - - alice refused",
			"login - - - refused",
			"login alice web ses ok",
			"consent.deny alice partner partner ok",
			"consent.give alice partner partner ok",
			"grant.revoke - web grt ok",
			"session.end alice - ses ok",
			"login alice trusted grt ok",
			"login - - alice refused",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		list, err := audit.List(t.Context(), s.db, audit.Filter{Action: "login"}, 0, 1)
		if err != nil || list[0].Address != "127.0.0.1" || list[0].RequestID == "" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestRefusedPasswordsFillNoLog(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user(alice, alicePassword)
		password := func(email string) reply {
			return s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {email}, "password": {"wrong password"}})
		}
		for i := range 120 {
			password(alice)
			if got := password(fmt.Sprintf("nobody%d@acme.example", i)); got.status == http.StatusOK {
				t.Fatal(got.body)
			}
		}
		s.stop() // it records what waits
		got := s.entries(audit.Filter{Action: "login"}, nil)
		limited := slices.DeleteFunc(slices.Clone(got), func(e string) bool { return !strings.HasSuffix(e, "limited") })
		if len(got) == 0 || len(got) > 100 || len(limited) == 0 {
			t.Errorf("%d entries, %d of them limited", len(got), len(limited))
		}
		for _, e := range got {
			if strings.Contains(e, "nobody") {
				t.Errorf("what was typed for an address that nobody has: %s", e)
			}
		}
	})
}

// TestARefusalIsAnsweredBeforeItIsRecorded: of an account there may be a record where of an address that nobody has there is
// none, and the time that it takes must not tell them apart.
func TestARefusalIsAnsweredBeforeItIsRecorded(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.user(alice, alicePassword)
		before := len(s.entries(audit.Filter{}, nil))
		// Were it recorded first, the answer would come when SQLite has given up, after 5 seconds, or never.
		err := s.db.Tx(t.Context(), func(tx sqldb.Tx) error {
			if err := audit.Add(t.Context(), tx, audit.Entry{Time: time.Now(), Action: "held"}); err != nil {
				return err
			}
			begun := time.Now()
			got := s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {"wrong password"}})
			if took := time.Since(begun); got.status != http.StatusBadRequest || took > 4*time.Second {
				t.Errorf("while nothing can be recorded: %d after %s", got.status, took)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		s.recorded(before + 2)
	})
}
