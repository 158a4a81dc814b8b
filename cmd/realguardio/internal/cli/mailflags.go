package cli

import (
	"errors"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/services/token"
)

// mailFlags are the settings of a mail server, the same for every part that sends mail.
type mailFlags struct {
	mail            token.MailConfig
	tlsMode, caFile string
}

// declare adds them; required says that the part cannot do without.
func (f *mailFlags) declare(s *settings.Set, p *partFlags, required ...settings.Check) {
	f.tlsMode = "starttls"
	s.String(&f.mail.Addr, "smtp-address", "mail server, host:port", append(required, settings.Address)...)
	s.String(&f.mail.From, "mail-from", "sender of every message, such as RealGuardIO <alarm@example.com>", required...)
	s.String(&f.mail.Username, "smtp-username", "account at the mail server; empty for none")
	s.String(&f.mail.PasswordFile, "smtp-password-file", "file with its password", settings.File)
	s.String(&f.caFile, "smtp-ca-file", "authority of the mail server's certificate (default: the system's)", settings.File, authorities)
	s.String(&f.tlsMode, "smtp-tls", "starttls, implicit (port 465) or none", settings.OneOf("starttls", "implicit", "none"))
	s.Rule(func() error {
		if f.tlsMode == "none" && !p.insecurePlaintext {
			return errors.New("--smtp-tls: none would send messages in plaintext (--insecure-plaintext allows it)")
		}
		if len(required) == 0 && (f.mail.Addr == "") != (f.mail.From == "") {
			return errors.New("--smtp-address and --mail-from belong together")
		}
		return nil
	})
}

// config is nil without a mail server.
func (f *mailFlags) config(p *partFlags) (*token.MailConfig, error) {
	if f.mail.Addr == "" {
		return nil, nil
	}
	mail := f.mail
	mail.TLS, mail.Insecure = token.MailTLS(f.tlsMode), p.insecurePlaintext
	if f.caFile != "" {
		var err error
		if mail.TLSConfig, err = assembly.Trusting(f.caFile); err != nil {
			return nil, err
		}
	}
	return &mail, nil
}
