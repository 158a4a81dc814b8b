package notification

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

	"github.com/wneessen/go-mail"
)

// TLSMode says how the connection to the mail server is protected.
type TLSMode string

const (
	// StartTLS asks for TLS after connecting and sends nothing without it (RFC 3207). The default.
	StartTLS TLSMode = "starttls"
	// ImplicitTLS speaks TLS from the first byte, usually on port 465 (RFC 8314).
	ImplicitTLS TLSMode = "implicit"
	// NoTLS sends messages and their recipients in the clear. It is for a server on a loopback address; for any other,
	// MailConfig.Insecure must say that everybody on the way may read and change what people are told.
	NoTLS TLSMode = "none"
)

// MailConfig says which mail server delivers, and for whom.
type MailConfig struct {
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

// mailTimeout bounds connecting, and then sending.
const mailTimeout = 15 * time.Second

// errRefused means that trying again would be refused again: the address, or the message, is no good.
var errRefused = errors.New("refused for good")

// mailer sends messages by SMTP, each over a connection of its own. It is safe for concurrent use.
type mailer struct {
	client *mail.Client
	from   *netmail.Address
}

func newMailer(cfg MailConfig) (*mailer, error) {
	host, portText, err := net.SplitHostPort(cfg.Addr)
	port, portErr := strconv.Atoi(portText)
	if err != nil || portErr != nil || host == "" {
		return nil, fmt.Errorf("mail server address %q is not host:port", cfg.Addr)
	}
	from, err := netmail.ParseAddress(cfg.From)
	if err != nil {
		return nil, fmt.Errorf("mail sender %q is not an address", cfg.From)
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTimeout), mail.WithoutNoop()}
	if cfg.TLSConfig != nil {
		config := cfg.TLSConfig.Clone()
		config.ServerName = cmp.Or(config.ServerName, host)
		options = append(options, mail.WithTLSConfig(config))
	}
	protection, err := cfg.protection(host)
	if err != nil {
		return nil, err
	}
	login, err := cfg.login()
	if err != nil {
		return nil, err
	}
	client, err := mail.NewClient(host, append(append(options, protection...), login...)...)
	if err != nil {
		return nil, fmt.Errorf("mail server %s: %w", cfg.Addr, err)
	}
	return &mailer{client: client, from: from}, nil
}

func (cfg MailConfig) protection(host string) ([]mail.Option, error) {
	switch cmp.Or(cfg.TLS, StartTLS) {
	case StartTLS:
		return []mail.Option{mail.WithTLSPolicy(mail.TLSMandatory)}, nil
	case ImplicitTLS:
		return []mail.Option{mail.WithSSL()}, nil
	case NoTLS:
		ip := net.ParseIP(host)
		if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); !loopback && !cfg.Insecure {
			return nil, fmt.Errorf("mail to %s would travel in the clear: use TLS, or say that this is insecure", cfg.Addr)
		}
		return []mail.Option{mail.WithTLSPolicy(mail.NoTLS)}, nil
	default:
		return nil, fmt.Errorf("mail TLS mode %q is not starttls, implicit or none", cfg.TLS)
	}
}

func (cfg MailConfig) login() ([]mail.Option, error) {
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
	return []mail.Option{
		mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(cfg.Username),
		mail.WithPassword(strings.TrimRight(string(password), "\r\n")),
	}, nil
}

// Send hands m to the mail server. It returns nil once the server has taken the message, and an error that wraps
// errRefused when another attempt is pointless.
func (s *mailer) Send(ctx context.Context, m Message) error {
	letter, err := s.letter(m)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	err = s.client.DialAndSendWithContext(ctx, letter)
	// What goes wrong after the server took the message must not make it be sent again.
	if err == nil || letter.IsDelivered() {
		return nil
	}
	// Only the recipient's address can be refused for good: what the server has against us may be put right.
	var failure *mail.SendError
	if errors.As(err, &failure) && failure.Reason == mail.ErrSMTPRcptTo && failure.ErrorCode() >= 500 {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return fmt.Errorf("send mail: %w", err)
}

func (s *mailer) letter(m Message) (*mail.Msg, error) {
	// Parsed rather than put together, so that an address cannot bring headers or recipients of its own.
	to, err := netmail.ParseAddress(m.Address)
	if err != nil || to.Address != m.Address {
		return nil, errors.New("recipient is not an address")
	}
	to.Name = m.Name
	letter := mail.NewMsg()
	letter.FromMailAddress(s.from)
	letter.ToMailAddress(to)
	letter.Subject(m.Subject)
	_, domain, _ := strings.Cut(s.from.Address, "@")
	letter.SetMessageIDWithValue(m.ID + "@" + domain)
	letter.SetDate()
	// Nobody's automatic answer is wanted (RFC 3834).
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetBodyString(mail.TypeTextPlain, m.Text)
	letter.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	return letter, nil
}
