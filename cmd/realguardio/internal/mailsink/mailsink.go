// Package mailsink is a mail server that delivers nothing: it takes every message by SMTP and shows it on a page, so that
// development has e-mail without sending any. Who writes the messages and why is the notification service's.
package mailsink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	// keep is how many messages are remembered; older ones are forgotten.
	keep = 200
	// maxMessage is the longest message taken, in bytes. keep*maxMessage bounds the memory.
	maxMessage    = 64 << 10
	maxRecipients = 50
)

// Message is one message as it arrived.
type Message struct {
	// ID counts from 1 in order of arrival.
	ID      string `json:"id"`
	Channel string `json:"channel"`
	// From and To are those of the envelope.
	From    string    `json:"from"`
	To      []string  `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Time    time.Time `json:"time"`
}

// Sink is a running server. It is safe for concurrent use.
type Sink struct {
	server   *smtp.Server
	listener net.Listener
	now      func() time.Time

	mu       sync.Mutex
	messages []Message // oldest first
	received int
}

// Listen takes address, such as 127.0.0.1:0. With a certificate in config it offers STARTTLS; nil: plaintext only.
func Listen(address string, config *tls.Config, now func() time.Time, log *slog.Logger) (*Sink, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for mail on %s: %w", address, err)
	}
	s := &Sink{listener: listener, now: now}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }))
	s.server.Domain, s.server.TLSConfig = "localhost", config
	s.server.MaxMessageBytes = maxMessage
	s.server.MaxRecipients = maxRecipients
	s.server.ReadTimeout, s.server.WriteTimeout = 30*time.Second, 30*time.Second
	s.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return s, nil
}

// Addr is where it listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Run takes messages until ctx ends.
func (s *Sink) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.server.Close()
		s.listener.Close() // the server knows it only once Serve has begun, which may be after this
	})
	defer stop()
	err := s.server.Serve(s.listener)
	if err == nil || ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("mail sink: %w", err)
}

// Messages returns what is remembered, newest first.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := slices.Clone(s.messages)
	slices.Reverse(newest)
	return newest
}

func (s *Sink) add(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received++
	m.ID, m.Channel, m.Time = strconv.Itoa(s.received), "email", s.now().UTC()
	if len(s.messages) == keep {
		s.messages = slices.Delete(s.messages, 0, 1)
	}
	s.messages = append(s.messages, m)
}

// session is one SMTP connection.
type session struct {
	sink *Sink
	from string
	to   []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r) // bounded by MaxMessageBytes
	if err != nil {
		return err
	}
	subject, text, err := readable(bytes.NewReader(raw))
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "not a message that can be read"}
	}
	s.sink.add(Message{From: s.from, To: slices.Clone(s.to), Subject: subject, Text: text})
	return nil
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }
