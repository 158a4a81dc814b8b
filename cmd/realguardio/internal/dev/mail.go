package dev

import (
	"crypto/tls"
	"fmt"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/mailsink"
	"github.com/realguardio/realguardio/services/notification"
)

// mailServer is the name in the mail sink's certificate.
const mailServer = "mail"

// openMail starts the server that keeps every message to itself.
func (in *installation) openMail() error {
	files, err := in.ca.Issue(mailServer)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return fmt.Errorf("read the mail sink's certificate: %w", err)
	}
	in.mail, err = mailsink.Listen("127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}, in.Now, in.Log)
	return err
}

// mailConfig is how the notification service finds it: by STARTTLS, as it would find any other.
func (in *installation) mailConfig() (notification.MailConfig, error) {
	trust, err := assembly.Trusting(in.ca.CAFile())
	return notification.MailConfig{
		Addr: in.mail.Addr(), From: "RealGuardIO <alarm@realguardio.example>", TLSConfig: trust,
	}, err
}
