package token_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/mail/mailtest"
	"github.com/realguardio/realguardio/services/token"
)

// desk is a service with a mail server, whose letters a test reads.
type desk struct {
	*server
	office *mailtest.Office
}

func withMail(t *testing.T, st stores, more ...func(*token.Config)) *desk {
	t.Helper()
	office := mailtest.New(t)
	s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, append(more, mailing(office.Addr))...)
	s.seed()
	return &desk{s, office}
}

// mailing has letters sent by a mail server.
func mailing(addr string) func(*token.Config) {
	return func(cfg *token.Config) {
		cfg.Mail = &token.MailConfig{Addr: addr, From: "RealGuardIO <accounts@realguardio.example>", TLS: "none"}
		cfg.Home = "web"
	}
}

// letter waits for the nth letter to an address, from 1.
func (d *desk) letter(address string, n int) mailtest.Letter {
	d.t.Helper()
	var all []mailtest.Letter
	meshtest.Await(d.t, fmt.Sprintf("letter %d to %s", n, address), func() bool {
		all = all[:0]
		for _, l := range d.office.Taken() {
			if l.To == address {
				all = append(all, l)
			}
		}
		return len(all) >= n
	})
	return all[n-1]
}

// settled waits until there is nothing left to send.
func (d *desk) settled() {
	d.t.Helper()
	meshtest.Await(d.t, "no letter is unsent", func() bool { return d.count(`SELECT count(*) FROM letters WHERE NOT given_up`) == 0 })
}

func (s *server) count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db.QueryRow(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

var linkForm = regexp.MustCompile(`https?://\S+[?]link=([A-Za-z0-9_-]{43})\b`)

// link is the link in a letter: the path to open, and its secret.
func (d *desk) link(l mailtest.Letter) (path, secret string) {
	d.t.Helper()
	found := linkForm.FindStringSubmatch(l.Text)
	if found == nil || !strings.Contains(l.HTML, `href="`+found[0]+`"`) {
		d.t.Fatalf("no link in %q / %q", l.Text, l.HTML)
	}
	u, err := url.Parse(found[0])
	if err != nil || !strings.HasPrefix(found[0], d.url+"/") {
		d.t.Fatalf("the link %q is not one to the issuer", found[0])
	}
	return u.RequestURI(), d.logs.secret(found[1])
}

// choose opens a link and chooses a password on the page.
func (b *browser) choose(path, secret string) reply {
	b.t.Helper()
	page := b.open(path)
	if page.status != 200 {
		return page
	}
	form := page.form()
	form.Set("password", b.logs.secret(secret))
	form.Set("repeat", secret)
	return b.submit("/password", form)
}

// forgot asks for a link for an address.
func (b *browser) forgot(address string) reply {
	b.t.Helper()
	form := b.open("/forgot").form()
	form.Set("username", address)
	return b.submit("/forgot", form)
}
