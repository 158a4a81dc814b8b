package mail_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/internal/mail/mailtest"
)

func plain(addr string) mail.Config {
	return mail.Config{Addr: addr, From: "RealGuardIO <alarms@realguardio.example>", TLS: mail.NoTLS}
}

var hello = mail.Message{
	ID: "ntf_1", Name: "Alice Ünal", Address: "alice@acme.example", Subject: "ALARM: Zürich (fire)",
	Text: "It burns.\n", HTML: "<p>It burns.</p>\n",
}

func senderFor(t *testing.T, cfg mail.Config) *mail.Sender {
	t.Helper()
	m, err := mail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMailIsOneMessageInTextAndHTML(t *testing.T) {
	office := mailtest.New(t)
	if err := senderFor(t, plain(office.Addr)).Send(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	letters := office.Taken()
	if len(letters) != 1 {
		t.Fatalf("%d messages", len(letters))
	}
	l := letters[0]
	if l.From != "alarms@realguardio.example" || l.To != "alice@acme.example" || l.Subject() != hello.Subject {
		t.Errorf("from %q to %q: %q", l.From, l.To, l.Subject())
	}
	if strings.TrimSpace(l.Text) != "It burns." || strings.TrimSpace(l.HTML) != "<p>It burns.</p>" {
		t.Errorf("text %q, HTML %q", l.Text, l.HTML)
	}
	for header, want := range map[string]string{
		"Message-Id": "<ntf_1@realguardio.example>", "Auto-Submitted": "auto-generated",
		"From": `"RealGuardIO" <alarms@realguardio.example>`,
	} {
		if got := l.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestAMailHasNoHeaderOrRecipientThatItsTextsMade(t *testing.T) {
	office := mailtest.New(t)
	m := senderFor(t, plain(office.Addr))
	bad := hello
	bad.Subject, bad.Name = mail.OneLine("x\r\nBcc: eve@evil.example\r\n\r\nbody"), mail.OneLine("A\r\nBcc: eve@evil.example")
	if err := m.Send(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		"eve@evil.example, alice@acme.example", "alice@acme.example\r\nBcc: eve@evil.example", "Eve <eve@evil.example>",
		"alice@acme.example> <eve@evil.example", "nobody", "", "a@b\x00",
	} {
		bad.Address = address
		if err := m.Send(t.Context(), bad); !errors.Is(err, mail.ErrRefused) {
			t.Errorf("%q: %v", address, err)
		}
	}
	letters := office.Taken()
	if len(letters) != 1 || letters[0].To != "alice@acme.example" || office.Tries() != 1 {
		t.Fatalf("%d messages to %d recipients", len(letters), office.Tries())
	}
	if letters[0].Header.Get("Bcc") != "" || strings.Contains(letters[0].Raw, "\nBcc:") {
		t.Errorf("a header was injected:\n%s", letters[0].Raw)
	}
}

func TestOnlyARefusedRecipientIsRefusedForGood(t *testing.T) {
	tests := []struct {
		name    string
		answer  error
		forGood bool
	}{
		{"no such person", mailtest.Unknown, true},
		{"come again", mailtest.Busy, false},
		{"a mailbox that is full", &smtp.SMTPError{Code: 452, Message: "full"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			office := mailtest.New(t)
			office.Refuse = func(int, string) error { return test.answer }
			err := senderFor(t, plain(office.Addr)).Send(t.Context(), hello)
			if err == nil || errors.Is(err, mail.ErrRefused) != test.forGood {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if err := senderFor(t, plain("127.0.0.1:1")).Send(t.Context(), hello); err == nil || errors.Is(err, mail.ErrRefused) {
			t.Errorf("got %v", err)
		}
	})
}

// A server may be gone before the client has said goodbye.
func TestAMessageThatWasTakenIsSentWhateverHappensThen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- takeOneAndHangUp(listener) }()
	if err := senderFor(t, plain(listener.Addr().String())).Send(t.Context(), hello); err != nil {
		t.Errorf("got %v", err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func takeOneAndHangUp(listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("220 post.example\r\n")); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	for inData := false; lines.Scan(); {
		answer := "250 ok\r\n"
		switch {
		case inData && lines.Text() == ".":
			_, err := conn.Write([]byte(answer))
			return err
		case inData:
			continue
		case lines.Text() == "DATA":
			answer, inData = "354 go on\r\n", true
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func TestMailIsProtectedAsConfigured(t *testing.T) {
	ca := meshtest.NewCA(t)
	cert, trust := ca.Certificate(t, "post"), ca.Client(t, "")

	t.Run("STARTTLS is the default", func(t *testing.T) {
		office := mailtest.New(t, mailtest.WithTLS(cert))
		cfg := plain(office.Addr)
		cfg.TLS, cfg.TLSConfig = "", trust
		if err := senderFor(t, cfg).Send(t.Context(), hello); err != nil || len(office.Taken()) != 1 {
			t.Errorf("%v, %d messages", err, len(office.Taken()))
		}
	})
	t.Run("a server without STARTTLS gets nothing", func(t *testing.T) {
		office := mailtest.New(t)
		cfg := plain(office.Addr)
		cfg.TLS = mail.StartTLS
		if err := senderFor(t, cfg).Send(t.Context(), hello); err == nil || office.Tries() != 0 {
			t.Errorf("%v, %d recipients", err, office.Tries())
		}
	})
	t.Run("a server that is not trusted gets nothing", func(t *testing.T) {
		office := mailtest.New(t, mailtest.WithTLS(cert))
		cfg := plain(office.Addr)
		cfg.TLS, cfg.TLSConfig = mail.StartTLS, meshtest.NewCA(t).Client(t, "")
		if err := senderFor(t, cfg).Send(t.Context(), hello); err == nil || office.Tries() != 0 {
			t.Errorf("%v, %d recipients", err, office.Tries())
		}
	})
	t.Run("implicit TLS", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		secure := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		office := mailtest.NewAt(t, secure)
		cfg := plain(office.Addr)
		cfg.TLS, cfg.TLSConfig = mail.ImplicitTLS, trust
		if err := senderFor(t, cfg).Send(t.Context(), hello); err != nil || len(office.Taken()) != 1 {
			t.Errorf("%v, %d messages", err, len(office.Taken()))
		}
	})
	t.Run("a login is made with the password from the file", func(t *testing.T) {
		office := mailtest.New(t, mailtest.WithTLS(cert))
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte("open sesame\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := plain(office.Addr)
		cfg.TLS, cfg.TLSConfig, cfg.Username, cfg.PasswordFile = mail.StartTLS, trust, "alarms", file
		if err := senderFor(t, cfg).Send(t.Context(), hello); err != nil || len(office.Taken()) != 1 {
			t.Errorf("%v, %d messages", err, len(office.Taken()))
		}
		if !slices.Equal(office.Logins(), []string{"alarms open sesame"}) {
			t.Errorf("logins %q", office.Logins())
		}
	})
}

func TestAMailConfigurationThatCannotWorkIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*mail.Config)
		says   string
	}{
		{"no address", func(c *mail.Config) { c.Addr = "" }, "host:port"},
		{"no port", func(c *mail.Config) { c.Addr = "post.example" }, "host:port"},
		{"no sender", func(c *mail.Config) { c.From = "" }, "sender"},
		{"an unknown protection", func(c *mail.Config) { c.TLS = "perhaps" }, "perhaps"},
		{"plaintext to another machine", func(c *mail.Config) { c.Addr = "post.example:25" }, "in the clear"},
		{"a user without a password", func(c *mail.Config) { c.Username = "alarms" }, "password"},
		{"a password file that is not there", func(c *mail.Config) { c.Username, c.PasswordFile = "alarms", "/nowhere/password" }, "password"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := plain("127.0.0.1:25")
			test.change(&cfg)
			if _, err := mail.New(cfg); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
	t.Run("plaintext to another machine, knowingly", func(t *testing.T) {
		cfg := plain("post.example:25")
		cfg.Insecure = true
		if _, err := mail.New(cfg); err != nil {
			t.Error(err)
		}
	})
}
