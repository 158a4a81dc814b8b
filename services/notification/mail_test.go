package notification

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/realguardio/realguardio/mesh/meshtest"
)

func plain(addr string) MailConfig {
	return MailConfig{Addr: addr, From: "RealGuardIO <alarms@realguardio.example>", TLS: NoTLS}
}

var hello = Message{
	ID: "ntf_1", Name: "Alice Ünal", Address: "alice@acme.example", Subject: "ALARM: Zürich (fire)",
	Text: "It burns.\n", HTML: "<p>It burns.</p>\n",
}

func mailerFor(t *testing.T, cfg MailConfig) *mailer {
	t.Helper()
	m, err := newMailer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMailIsOneMessageInTextAndHTML(t *testing.T) {
	office := newPostOffice(t)
	if err := mailerFor(t, plain(office.addr)).Send(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	letters := office.taken()
	if len(letters) != 1 {
		t.Fatalf("%d messages", len(letters))
	}
	l := letters[0]
	if l.from != "alarms@realguardio.example" || l.to != "alice@acme.example" || l.subject() != hello.Subject {
		t.Errorf("from %q to %q: %q", l.from, l.to, l.subject())
	}
	if strings.TrimSpace(l.text) != "It burns." || strings.TrimSpace(l.html) != "<p>It burns.</p>" {
		t.Errorf("text %q, HTML %q", l.text, l.html)
	}
	for header, want := range map[string]string{
		"Message-Id": "<ntf_1@realguardio.example>", "Auto-Submitted": "auto-generated",
		"From": `"RealGuardIO" <alarms@realguardio.example>`,
	} {
		if got := l.header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestAMailHasNoHeaderOrRecipientThatItsTextsMade(t *testing.T) {
	office := newPostOffice(t)
	m := mailerFor(t, plain(office.addr))
	bad := hello
	bad.Subject, bad.Name = oneLine("x\r\nBcc: eve@evil.example\r\n\r\nbody"), oneLine("A\r\nBcc: eve@evil.example")
	if err := m.Send(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		"eve@evil.example, alice@acme.example", "alice@acme.example\r\nBcc: eve@evil.example", "Eve <eve@evil.example>",
		"alice@acme.example> <eve@evil.example", "nobody", "", "a@b\x00",
	} {
		bad.Address = address
		if err := m.Send(t.Context(), bad); !errors.Is(err, errRefused) {
			t.Errorf("%q: %v", address, err)
		}
	}
	letters := office.taken()
	if len(letters) != 1 || letters[0].to != "alice@acme.example" || office.tries() != 1 {
		t.Fatalf("%d messages to %d recipients", len(letters), office.tries())
	}
	if letters[0].header.Get("Bcc") != "" || strings.Contains(letters[0].raw, "\nBcc:") {
		t.Errorf("a header was injected:\n%s", letters[0].raw)
	}
}

func TestOnlyARefusedRecipientIsRefusedForGood(t *testing.T) {
	tests := []struct {
		name    string
		answer  error
		forGood bool
	}{
		{"no such person", unknown, true},
		{"come again", busy, false},
		{"a mailbox that is full", &smtp.SMTPError{Code: 452, Message: "full"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			office := newPostOffice(t)
			office.refuse = func(int, string) error { return test.answer }
			err := mailerFor(t, plain(office.addr)).Send(t.Context(), hello)
			if err == nil || errors.Is(err, errRefused) != test.forGood {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if err := mailerFor(t, plain("127.0.0.1:1")).Send(t.Context(), hello); err == nil || errors.Is(err, errRefused) {
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
	if err := mailerFor(t, plain(listener.Addr().String())).Send(t.Context(), hello); err != nil {
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
		office := newPostOffice(t, withTLS(cert))
		cfg := plain(office.addr)
		cfg.TLS, cfg.TLSConfig = "", trust
		if err := mailerFor(t, cfg).Send(t.Context(), hello); err != nil || len(office.taken()) != 1 {
			t.Errorf("%v, %d messages", err, len(office.taken()))
		}
	})
	t.Run("a server without STARTTLS gets nothing", func(t *testing.T) {
		office := newPostOffice(t)
		cfg := plain(office.addr)
		cfg.TLS = StartTLS
		if err := mailerFor(t, cfg).Send(t.Context(), hello); err == nil || office.tries() != 0 {
			t.Errorf("%v, %d recipients", err, office.tries())
		}
	})
	t.Run("a server that is not trusted gets nothing", func(t *testing.T) {
		office := newPostOffice(t, withTLS(cert))
		cfg := plain(office.addr)
		cfg.TLS, cfg.TLSConfig = StartTLS, meshtest.NewCA(t).Client(t, "")
		if err := mailerFor(t, cfg).Send(t.Context(), hello); err == nil || office.tries() != 0 {
			t.Errorf("%v, %d recipients", err, office.tries())
		}
	})
	t.Run("implicit TLS", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		secure := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		office := newPostOfficeAt(t, secure)
		cfg := plain(office.addr)
		cfg.TLS, cfg.TLSConfig = ImplicitTLS, trust
		if err := mailerFor(t, cfg).Send(t.Context(), hello); err != nil || len(office.taken()) != 1 {
			t.Errorf("%v, %d messages", err, len(office.taken()))
		}
	})
	t.Run("a login is made with the password from the file", func(t *testing.T) {
		office := newPostOffice(t, withTLS(cert))
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte("open sesame\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := plain(office.addr)
		cfg.TLS, cfg.TLSConfig, cfg.Username, cfg.PasswordFile = StartTLS, trust, "alarms", file
		if err := mailerFor(t, cfg).Send(t.Context(), hello); err != nil || len(office.taken()) != 1 {
			t.Errorf("%v, %d messages", err, len(office.taken()))
		}
		if len(office.logins) != 1 || office.logins[0] != "alarms open sesame" {
			t.Errorf("logins %q", office.logins)
		}
	})
}

func TestAMailConfigurationThatCannotWorkIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*MailConfig)
		says   string
	}{
		{"no address", func(c *MailConfig) { c.Addr = "" }, "host:port"},
		{"no port", func(c *MailConfig) { c.Addr = "post.example" }, "host:port"},
		{"no sender", func(c *MailConfig) { c.From = "" }, "sender"},
		{"an unknown protection", func(c *MailConfig) { c.TLS = "perhaps" }, "perhaps"},
		{"plaintext to another machine", func(c *MailConfig) { c.Addr = "post.example:25" }, "in the clear"},
		{"a user without a password", func(c *MailConfig) { c.Username = "alarms" }, "password"},
		{"a password file that is not there", func(c *MailConfig) { c.Username, c.PasswordFile = "alarms", "/nowhere/password" }, "password"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := plain("127.0.0.1:25")
			test.change(&cfg)
			if _, err := newMailer(cfg); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
	t.Run("plaintext to another machine, knowingly", func(t *testing.T) {
		cfg := plain("post.example:25")
		cfg.Insecure = true
		if _, err := newMailer(cfg); err != nil {
			t.Error(err)
		}
	})
}
