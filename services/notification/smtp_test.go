package notification

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// letter is a message as the mail server got it.
type letter struct {
	from, to   string
	header     netmail.Header
	raw        string
	text, html string
}

// postOffice is a real mail server that keeps what it takes.
type postOffice struct {
	addr   string
	server *smtp.Server

	mu      sync.Mutex
	letters []letter
	tried   int
	// refuse decides on the nth recipient that was tried, from 1.
	refuse func(n int, to string) error
	logins []string
}

type office func(*smtp.Server)

func newPostOffice(t *testing.T, options ...office) *postOffice {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newPostOfficeAt(t, listener, options...)
}

func newPostOfficeAt(t *testing.T, listener net.Listener, options ...office) *postOffice {
	p := &postOffice{addr: listener.Addr().String()}
	p.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &counter{office: p}, nil
	}))
	p.server.Domain = "post.example"
	p.server.ReadTimeout, p.server.WriteTimeout = 10*time.Second, 10*time.Second
	p.server.ErrorLog = discard{}
	for _, o := range options {
		o(p.server)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = p.server.Serve(listener) })
	t.Cleanup(func() {
		// The server knows the listener only once Serve runs, which may be after this.
		_ = listener.Close()
		_ = p.server.Close()
		running.Wait()
	})
	return p
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func (p *postOffice) taken() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]letter(nil), p.letters...)
}

// tries returns how many recipients were tried.
func (p *postOffice) tries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried
}

// counter is one client at the post office.
type counter struct {
	office   *postOffice
	from, to string
}

func (*counter) Reset()        {}
func (*counter) Logout() error { return nil }

func (c *counter) Mail(from string, _ *smtp.MailOptions) error { c.from = from; return nil }

func (c *counter) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.tried++
	c.to = to
	if c.office.refuse != nil {
		return c.office.refuse(c.office.tried, to)
	}
	return nil
}

func (c *counter) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l, err := read(raw)
	if err != nil {
		return err
	}
	l.from, l.to = c.from, c.to
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.letters = append(c.office.letters, l)
	return nil
}

func (*counter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *counter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		c.office.mu.Lock()
		defer c.office.mu.Unlock()
		c.office.logins = append(c.office.logins, username+" "+password)
		if password != "open sesame" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func read(raw []byte) (letter, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return letter{}, err
	}
	l := letter{header: m.Header, raw: string(raw)}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return letter{}, err
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return letter{}, err
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return letter{}, err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.html = string(body)
		} else {
			l.text = string(body)
		}
	}
}

func (l letter) subject() string {
	text, err := new(mime.WordDecoder).DecodeHeader(l.header.Get("Subject"))
	if err != nil {
		return fmt.Sprintf("undecodable: %v", err)
	}
	return text
}

// busy is an answer that asks to come again.
var busy = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come again"}

// unknown is an answer that will not change.
var unknown = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such person"}

func withTLS(cert tls.Certificate) office {
	return func(s *smtp.Server) {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
}
