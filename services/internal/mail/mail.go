// Package mail hands messages to a mail server by SMTP, under whatever protection it is told to demand. When to send, what
// to write, and what to do about a failure is left to the services.
package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// TLSMode says how the connection to the mail server is protected.
type TLSMode string

const (
	// StartTLS asks for TLS after connecting and sends nothing without it (RFC 3207). The default.
	StartTLS TLSMode = "starttls"
	// ImplicitTLS speaks TLS from the first byte, usually on port 465 (RFC 8314).
	ImplicitTLS TLSMode = "implicit"
	// NoTLS sends messages and their recipients in the clear. It is for a server on a loopback address; for any other,
	// Config.Insecure must say that everybody on the way may read and change what people are told.
	NoTLS TLSMode = "none"
)

// Config says which mail server delivers, and for whom.
type Config struct {
	// Addr is host:port of the server. Required.
	Addr string
	// From is the sender, such as "RealGuardIO <alarms@example.com>". Required.
	From string
	// Username logs in at the server, with the content of PasswordFile, which is read once. Default: no login.
	Username     string
	PasswordFile string
	// TLS is StartTLS, ImplicitTLS or NoTLS. Default: StartTLS.
	TLS TLSMode
	// Insecure allows NoTLS to a server that is not on a loopback address.
	Insecure bool
	// TLSConfig verifies the server. Default: its name against the system's authorities, TLS 1.2 or later.
	TLSConfig *tls.Config
}

// Message is a mail to one person, in plain text and in HTML.
type Message struct {
	// ID is the same in every attempt, so that a mail server which got the message twice can tell.
	ID      string
	Name    string
	Address string
	Subject string
	Text    string
	HTML    string
}

// timeout bounds connecting, and then sending.
const timeout = 15 * time.Second

// ErrRefused means that trying again would be refused again: the address, or the message, is no good.
var ErrRefused = errors.New("refused for good")

// Sender sends messages by SMTP, each over a connection of its own. It is safe for concurrent use.
type Sender struct {
	client *gomail.Client
	from   *netmail.Address
}

// New returns a Sender. It makes no connection yet.
func New(cfg Config) (*Sender, error) {
	host, portText, err := net.SplitHostPort(cfg.Addr)
	port, portErr := strconv.Atoi(portText)
	if err != nil || portErr != nil || host == "" {
		return nil, fmt.Errorf("mail server address %q is not host:port", cfg.Addr)
	}
	from, err := netmail.ParseAddress(cfg.From)
	if err != nil {
		return nil, fmt.Errorf("mail sender %q is not an address", cfg.From)
	}
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(timeout), gomail.WithoutNoop()}
	if cfg.TLSConfig != nil {
		config := cfg.TLSConfig.Clone()
		config.ServerName = cmp.Or(config.ServerName, host)
		options = append(options, gomail.WithTLSConfig(config))
	}
	protection, err := cfg.protection(host)
	if err != nil {
		return nil, err
	}
	login, err := cfg.login()
	if err != nil {
		return nil, err
	}
	client, err := gomail.NewClient(host, append(append(options, protection...), login...)...)
	if err != nil {
		return nil, fmt.Errorf("mail server %s: %w", cfg.Addr, err)
	}
	return &Sender{client: client, from: from}, nil
}

func (cfg Config) protection(host string) ([]gomail.Option, error) {
	switch cmp.Or(cfg.TLS, StartTLS) {
	case StartTLS:
		return []gomail.Option{gomail.WithTLSPolicy(gomail.TLSMandatory)}, nil
	case ImplicitTLS:
		return []gomail.Option{gomail.WithSSL()}, nil
	case NoTLS:
		ip := net.ParseIP(host)
		if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); !loopback && !cfg.Insecure {
			return nil, fmt.Errorf("mail to %s would travel in the clear: use TLS, or say that this is insecure", cfg.Addr)
		}
		return []gomail.Option{gomail.WithTLSPolicy(gomail.NoTLS)}, nil
	default:
		return nil, fmt.Errorf("mail TLS mode %q is not starttls, implicit or none", cfg.TLS)
	}
}

func (cfg Config) login() ([]gomail.Option, error) {
	if cfg.Username == "" && cfg.PasswordFile == "" {
		return nil, nil
	}
	if cfg.Username == "" || cfg.PasswordFile == "" {
		return nil, errors.New("mail login needs both a user name and a password file")
	}
	password, err := os.ReadFile(cfg.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read mail password: %w", err)
	}
	return []gomail.Option{
		gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(cfg.Username),
		gomail.WithPassword(strings.TrimRight(string(password), "\r\n")),
	}, nil
}

// Send hands m to the mail server. It returns nil once the server has taken the message, and an error that wraps
// ErrRefused when another attempt is pointless.
func (s *Sender) Send(ctx context.Context, m Message) error {
	letter, err := s.letter(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	err = s.client.DialAndSendWithContext(ctx, letter)
	// What goes wrong after the server took the message must not make it be sent again.
	if err == nil || letter.IsDelivered() {
		return nil
	}
	// Only the recipient's address can be refused for good: what the server has against us may be put right.
	var failure *gomail.SendError
	if errors.As(err, &failure) && failure.Reason == gomail.ErrSMTPRcptTo && failure.ErrorCode() >= 500 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("send mail: %w", err)
}

func (s *Sender) letter(m Message) (*gomail.Msg, error) {
	// Parsed rather than put together, so that an address cannot bring headers or recipients of its own.
	to, err := netmail.ParseAddress(m.Address)
	if err != nil || to.Address != m.Address {
		return nil, errors.New("recipient is not an address")
	}
	to.Name = m.Name
	letter := gomail.NewMsg()
	letter.FromMailAddress(s.from)
	letter.ToMailAddress(to)
	letter.Subject(m.Subject)
	_, domain, _ := strings.Cut(s.from.Address, "@")
	letter.SetMessageIDWithValue(m.ID + "@" + domain)
	letter.SetDate()
	// Nobody's automatic answer is wanted (RFC 3834).
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetBodyString(gomail.TypeTextPlain, m.Text)
	letter.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return letter, nil
}
