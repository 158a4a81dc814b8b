// Package mailtest is a real mail server for tests, which keeps what it takes.
package mailtest

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

// Letter is a message as the mail server got it.
type Letter struct {
	From, To   string
	Header     netmail.Header
	Raw        string
	Text, HTML string
}

// Office is a real mail server that keeps what it takes.
type Office struct {
	// Addr is host:port.
	Addr string
	// Refuse decides on the nth recipient that was tried, from 1. Set before anything is sent; nil takes all.
	Refuse func(n int, to string) error
	server *smtp.Server

	mu      sync.Mutex
	letters []Letter
	tried   int
	logins  []string
}

// Option changes the server before it starts.
type Option func(*smtp.Server)

// New starts a mail server on a port of its own; it ends with the test.
func New(t *testing.T, options ...Option) *Office {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewAt(t, listener, options...)
}

// NewAt is New on a listener.
func NewAt(t *testing.T, listener net.Listener, options ...Option) *Office {
	t.Helper()
	p := &Office{Addr: listener.Addr().String()}
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

// Taken returns the messages that were taken.
func (p *Office) Taken() []Letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Letter(nil), p.letters...)
}

// Tries returns how many recipients were tried.
func (p *Office) Tries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried
}

// Logins returns the user names and passwords that were tried, each in one string.
func (p *Office) Logins() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.logins...)
}

// counter is one client at the post office.
type counter struct {
	office   *Office
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
	if c.office.Refuse != nil {
		return c.office.Refuse(c.office.tried, to)
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
	l.From, l.To = c.from, c.to
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

func read(raw []byte) (Letter, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Letter{}, err
	}
	l := Letter{Header: m.Header, Raw: string(raw)}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return Letter{}, err
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return Letter{}, err
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return Letter{}, err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.HTML = string(body)
		} else {
			l.Text = string(body)
		}
	}
}

// Subject is the subject, decoded.
func (l Letter) Subject() string {
	text, err := new(mime.WordDecoder).DecodeHeader(l.Header.Get("Subject"))
	if err != nil {
		return fmt.Sprintf("undecodable: %v", err)
	}
	return text
}

// Busy is an answer that asks to come again.
var Busy = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come again"}

// Unknown is an answer that will not change.
var Unknown = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such person"}

// WithTLS lets the server speak TLS with a certificate.
func WithTLS(cert tls.Certificate) Option {
	return func(s *smtp.Server) {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
}
