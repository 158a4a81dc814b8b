// Package letters writes and sends the mails that accounts are the reason of: invitations, links to choose a password, and
// notices. They are taken from the database, where they were stored with the change that caused them, so that a process
// that dies loses none; one that dies while it sends may send a letter twice, under the same id.
//
// When somebody is to be written to is decided by package account.
package letters

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/token/account"
)

// Store keeps letters. What is claimed is nobody else's until the claim runs out.
type Store interface {
	ClaimLetters(ctx context.Context, now, until time.Time, n int) ([]account.Letter, error)
	// FinishLetter forgets a letter and stores what comes of it.
	FinishLetter(ctx context.Context, id string, post account.Post) error
	PostponeLetter(ctx context.Context, id string, due time.Time, failure string) error
	// GiveUpLetter keeps a letter for operators to see, and for nobody to send.
	GiveUpLetter(ctx context.Context, id string, now time.Time, failure string) error
	Ticket(ctx context.Context, hash string, now time.Time) (account.Ticket, account.User, error)
	UserByEmail(ctx context.Context, email string) (account.User, error)
}

// Accounts knows links; *account.Lifecycle is one.
type Accounts interface {
	URL(ticket *account.Ticket) string
	Recovery(user *account.User) account.Post
}

// Sender sends mail; *mail.Sender is one.
type Sender interface {
	Send(ctx context.Context, m mail.Message) error
}

// Config says what a Postman works with. All but the tracer is required.
type Config struct {
	Store    Store
	Accounts Accounts
	Sender   Sender
	// Issuer is the URL under which the pages are.
	Issuer string
	// Tracer makes spans of sending, in the trace of the request that caused the letter. Nil for none.
	Tracer *tracing.Tracer
	Logger *slog.Logger
	Now    func() time.Time
}

const (
	// atOnce is how many letters are sent at a time.
	atOnce = 4
	// lease is after how long a letter is taken up again whose replica has died. Sending takes much less.
	lease = 2 * time.Minute
	// poll is how often to look for letters that nobody told of.
	poll = time.Second
	// attempts is after how many a letter is given up: about three hours.
	attempts = 12
	// firstPause is the pause after the first; it doubles after each.
	firstPause, longestPause = 10 * time.Second, time.Hour
	// recordTime is how long writing down what was done may take once the service was told to end.
	recordTime = 5 * time.Second
)

// Postman sends letters while Run runs. It is safe for concurrent use.
type Postman struct {
	Config
	writer writer
	wake   chan struct{}
}

// New returns a Postman.
func New(cfg Config) (*Postman, error) {
	w, err := newWriter()
	if err != nil {
		return nil, err
	}
	return &Postman{Config: cfg, writer: w, wake: make(chan struct{}, 1)}, nil
}

// Nudge says that there is a letter. It does not block.
func (p *Postman) Nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run sends letters until ctx ends.
func (p *Postman) Run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		more, err := p.step(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			p.Logger.WarnContext(ctx, "letters cannot be read or recorded; trying again", "error", err)
		}
		if failing = err != nil; !more {
			p.wait(ctx)
		}
	}
	return nil
}

func (p *Postman) wait(ctx context.Context) {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.wake:
	case <-ctx.Done():
	}
}

// step sends what is due, atOnce letters at most.
func (p *Postman) step(ctx context.Context) (more bool, err error) {
	now := p.Now()
	claimed, err := p.Store.ClaimLetters(ctx, now, now.Add(lease), atOnce)
	if err != nil {
		return false, err
	}
	failures := make([]error, len(claimed))
	var sending sync.WaitGroup
	for i, letter := range claimed {
		sending.Go(func() { failures[i] = p.handle(ctx, letter) })
	}
	sending.Wait()
	return len(claimed) > 0, errors.Join(failures...)
}

// handle does what a letter is for and records what has become of it. It returns an error only where that could not be
// recorded.
func (p *Postman) handle(ctx context.Context, l account.Letter) error {
	ctx, span := p.begin(ctx, l)
	post, err := p.deliver(ctx, l)
	span.End(err)
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	switch {
	case err == nil:
		return p.Store.FinishLetter(record, l.ID, post)
	case ctx.Err() != nil && !errors.Is(err, mail.ErrRefused):
		// Cut off by our own end, which is no fault of the letter's: due at once for whoever comes next.
		return p.Store.PostponeLetter(record, l.ID, p.Now(), err.Error())
	case l.Kind != account.RecoveryRequest && (errors.Is(err, mail.ErrRefused) || l.Attempts >= attempts):
		// What the server said may repeat the address: it stays in the database.
		p.Logger.ErrorContext(ctx, "a letter was given up", "letter", l.ID, "kind", l.Kind, "subject", l.UserID, "attempts", l.Attempts)
		return p.Store.GiveUpLetter(record, l.ID, p.Now(), err.Error())
	}
	again := pause(l.Attempts)
	p.Logger.WarnContext(ctx, "a letter could not be sent", "letter", l.ID, "kind", l.Kind, "attempts", l.Attempts, "again_in", again)
	return p.Store.PostponeLetter(record, l.ID, p.Now().Add(again), err.Error())
}

// begin begins the span of what a letter is for.
func (p *Postman) begin(ctx context.Context, l account.Letter) (context.Context, tracing.Span) {
	ctx = mesh.WithTraceparent(ctx, l.Traceparent)
	if l.Kind == account.RecoveryRequest {
		return p.Tracer.Begin(ctx, tracing.Internal, "look for who forgot a password")
	}
	return p.Tracer.Begin(ctx, tracing.Client, "send letter",
		tracing.String("messaging.system", "smtp"), tracing.String("messaging.message.id", l.ID))
}

// deliver sends a letter, unless its link is over, or finds out whether somebody who asked for one has an account.
func (p *Postman) deliver(ctx context.Context, l account.Letter) (account.Post, error) {
	if l.Kind == account.RecoveryRequest {
		return p.recover(ctx, l)
	}
	url, until := "", time.Time{}
	if l.TicketHash != "" {
		ticket, _, err := p.Store.Ticket(ctx, l.TicketHash, p.Now())
		if errors.Is(err, account.ErrTicketOver) {
			return account.Post{}, nil
		}
		if err != nil {
			return account.Post{}, err
		}
		url, until = p.Accounts.URL(&ticket), ticket.Expires
	}
	message, err := p.writer.write(l, p.Issuer, url, until)
	if err != nil {
		return account.Post{}, err
	}
	return account.Post{}, p.Sender.Send(ctx, message)
}

func (p *Postman) recover(ctx context.Context, l account.Letter) (account.Post, error) {
	user, err := p.Store.UserByEmail(ctx, l.Address)
	if errors.Is(err, account.ErrNotFound) || err == nil && user.Disabled {
		return account.Post{}, nil
	}
	if err != nil {
		return account.Post{}, err
	}
	return p.Accounts.Recovery(&user), nil
}

// pause is how long to wait after so many attempts: up to a quarter less than the pause proper, so that letters that
// failed together do not come back together.
func pause(attempts int) time.Duration {
	d := firstPause
	for range attempts - 1 {
		d = min(2*d, longestPause)
	}
	return d - rand.N(d/4)
}
