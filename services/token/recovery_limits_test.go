package token_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/token"
)

// TestNobodyLearnsFromARecoveryWhoHasAnAccount asks a service whose background work stands still, so that everything can be
// looked at that a request does: it is the same for every address, and so takes the same time.
func TestNobodyLearnsFromARecoveryWhoHasAnAccount(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		gone := d.user("gone@acme.example", "a password of before")
		d.boss().disable(t, gone)
		d.stop()
		d.redis = redis.NewClient(&redis.Options{Addr: st.redis})
		defer d.redis.Close()
		asked := &redisCommands{}
		d.redis.AddHook(asked)
		cfg := d.config()
		mailing(d.office.Addr)(&cfg)
		service, err := token.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		endpoint := httptest.NewServer(service.Handler())
		defer endpoint.Close()
		d.url = endpoint.URL
		answers, commands := map[string]string{}, map[string]string{}
		for i, who := range []string{"first@acme.example", alice, "nobody@acme.example", "gone@acme.example"} {
			asked.take()
			page := d.browser().forgot(who)
			answers[who], commands[who] = page.body, asked.take()
			if page.status != 200 || d.count(`SELECT count(*) FROM letters`) != i+1 || d.count(`SELECT count(*) FROM tickets`) != 0 ||
				d.count(`SELECT count(*) FROM letters WHERE kind = 'recovery' AND address = $1 AND user_id = '' AND ticket_hash = ''`, who) != 1 {
				t.Errorf("%s: %d", who, page.status)
			}
		}
		for _, who := range []string{"nobody@acme.example", "gone@acme.example"} {
			if answers[who] != answers[alice] || commands[who] != commands[alice] {
				t.Errorf("%s is told from %s: commands %q and %q", who, alice, commands[who], commands[alice])
			}
		}
		if page := d.browser().forgot(alice); page.body != answers[alice] || d.count(`SELECT count(*) FROM letters`) != 4 {
			t.Errorf("asking again is another thing: %s", page.body)
		}

		next := begin(t, st, "127.0.0.1:0", d.clock, d.logs, mailing(d.office.Addr))
		d.server = next
		d.letter(alice, 1)
		d.settled()
		if taken := d.office.Taken(); len(taken) != 1 {
			t.Errorf("%d letters were sent", len(taken))
		}
	})
}

// redisCommands keeps the names of the commands that were sent.
type redisCommands struct {
	mu   sync.Mutex
	list []string
}

func (c *redisCommands) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := strings.Join(c.list, " ")
	c.list = nil
	return all
}

func (c *redisCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *redisCommands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.mu.Lock()
		c.list = append(c.list, cmd.Name())
		c.mu.Unlock()
		return next(ctx, cmd)
	}
}

func (c *redisCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestHowOftenALinkMayBeAskedFor(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		b := d.browser()
		limited := func(who string) bool {
			page := b.forgot(who)
			if page.status == http.StatusTooManyRequests && page.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			return page.status == http.StatusTooManyRequests
		}
		for _, who := range []string{alice, "nobody@acme.example"} {
			for i := range 5 {
				if limited(who) {
					t.Fatalf("%s is refused at time %d", who, i+1)
				}
			}
			if !limited(who) || !limited(strings.ToUpper(who)) {
				t.Errorf("%s may ask for ever", who)
			}
		}
		for i := range 20 {
			if limited(fmt.Sprintf("somebody-%d@acme.example", i)) {
				t.Fatalf("the network is refused at %d", 10+i)
			}
		}
		if !limited("another@acme.example") {
			t.Error("one network may ask for ever")
		}
	})
}

// TestARecoveryEndsALockout locks an account by guesses from many networks; who chooses another password is not kept out
// by guesses at the old one.
func TestARecoveryEndsALockout(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := roam(t, st)
		s.attack(alice, 10)
		s.address = "198.51.100.7"
		if s.browser().admitted() {
			t.Fatal("not locked to begin with")
		}
		d := s.server
		link, _, err := d.PasswordLink(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		if page := d.browser().choose(u.RequestURI(), chosen); page.status != 200 {
			t.Fatalf("%d %s", page.status, page.body)
		}
		if page := d.browser().login(asks("web", webCallback), alice, chosen); page.status != http.StatusSeeOther {
			t.Errorf("kept out: %d", page.status)
		}
		if s.grant("nobody@acme.example", "x").status == http.StatusTooManyRequests {
			t.Error("others are limited")
		}
	})
}
