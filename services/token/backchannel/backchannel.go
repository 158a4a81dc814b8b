// Package backchannel tells clients that a login session which they were opened in is over (OpenID Connect Back-Channel
// Logout 1.0, from section 2.5 on). Nobody waits for it: whoever ends a session notes in the same transaction whom to tell,
// and the Deliverer of some replica does so, again and again until the client has answered or a day has passed.
//
// What a logout token says, and which sessions end when, is package oauth's.
package backchannel

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/realguardio/realguardio/services/token/oauth"
)

const (
	// tries is how many deliveries one replica has under way.
	tries = 16
	// tryTimeout bounds one; lease, for how long no other replica looks at it, is longer.
	tryTimeout = 10 * time.Second
	lease      = 30 * time.Second
	// A client that cannot be reached is tried again after a second, then after twice as long each time.
	firstPause = time.Second
	longPause  = 5 * time.Minute
	// patience is how long somebody's logout is worth telling: what was left signed in has ended by itself then.
	patience = 24 * time.Hour
	// maxAnswer bounds what is read of an answer, whose text means nothing.
	maxAnswer = 4 << 10
)

// Delivery is a client that has to be told of the end of a session.
type Delivery struct {
	SessionID, ClientID, UserID string
	// Attempt numbers the tries, from 1.
	Attempt int64
	// Created is when the session ended.
	Created time.Time
}

// Store keeps deliveries until they are done.
type Store interface {
	// ClaimLogouts returns at most limit deliveries that are due, and keeps them from everybody else until a time. Of
	// several callers each gets others.
	ClaimLogouts(ctx context.Context, now, until time.Time, limit int) ([]Delivery, error)
	// LogoutDone forgets a delivery, unless it was claimed again meanwhile.
	LogoutDone(ctx context.Context, d Delivery) error
	// LogoutFailed puts a delivery off, unless it was claimed again meanwhile.
	LogoutFailed(ctx context.Context, d Delivery, again time.Time) error
	// Client returns oauth.ErrNotFound for none.
	Client(ctx context.Context, id string) (oauth.Client, error)
}

// Issuer makes logout tokens; *oauth.Server is one.
type Issuer interface {
	LogoutToken(client *oauth.Client, user, session string) (string, error)
}

// Outcome is what came of one try.
type Outcome string

// Outcomes of a try.
const (
	Delivered Outcome = "delivered"
	// Failed is tried again.
	Failed Outcome = "failed"
	// Refused is a client's answer that it will not, and GaveUp one that did not answer well for a day.
	Refused Outcome = "refused"
	GaveUp  Outcome = "gave_up"
)

// Outcomes is the list of them.
var Outcomes = []Outcome{Delivered, Failed, Refused, GaveUp}

// Config says what a Deliverer works with. What has no default is required.
type Config struct {
	Store  Store
	Issuer Issuer
	// Roots are trusted for clients' certificates. Default: the system's.
	Roots *x509.CertPool
	// Poll is how soon is seen what another replica noted, or what is due again. Default: a second.
	Poll time.Duration
	// Counted is told of every try.
	Counted func(Outcome)
	Logger  *slog.Logger
	Now     func() time.Time
}

// Deliverer delivers. It is safe for concurrent use, and beside those of other replicas.
type Deliverer struct {
	Config
	client *http.Client
	wake   chan struct{}
}

// New returns a Deliverer; its Run must run.
func New(cfg Config) *Deliverer {
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	return &Deliverer{Config: cfg, client: newClient(cfg.Roots), wake: make(chan struct{}, 1)}
}

// Wake says that there may be something to deliver. It does not block.
func (d *Deliverer) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyhow
	}
}

// Run delivers until ctx ends, and returns nil.
func (d *Deliverer) Run(ctx context.Context) error {
	var trying sync.WaitGroup
	defer trying.Wait()
	defer d.client.CloseIdleConnections()
	slots := make(chan struct{}, tries)
	tick := time.NewTicker(d.Poll)
	defer tick.Stop()
	failing := false
	for {
		claimed, err := d.claim(ctx, tries-len(slots))
		if err != nil && !failing && ctx.Err() == nil {
			d.Logger.WarnContext(ctx, "logouts to deliver cannot be read", "error", err)
		}
		failing = err != nil
		for _, one := range claimed {
			slots <- struct{}{}
			trying.Go(func() {
				d.try(ctx, one)
				<-slots
				d.Wake() // for what had to wait
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-tick.C:
		}
	}
}

func (d *Deliverer) claim(ctx context.Context, free int) ([]Delivery, error) {
	if free == 0 {
		return nil, nil
	}
	now := d.Now()
	return d.Store.ClaimLogouts(ctx, now, now.Add(lease), free)
}

// try makes one try and notes what came of it. Where that cannot be noted, the try is made again after the lease.
func (d *Deliverer) try(ctx context.Context, one Delivery) {
	err := d.deliver(ctx, one)
	if err != nil && ctx.Err() != nil {
		return // it was we who broke it off
	}
	// What has been delivered is noted even while this process ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout)
	defer cancel()
	log := d.Logger.With("client_id", one.ClientID, "session", one.SessionID, "attempt", one.Attempt)
	outcome, now := Delivered, d.Now()
	_, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		log.InfoContext(ctx, "client told of a logout")
	case refused:
		outcome = Refused
		log.WarnContext(ctx, "a client will not be told of a logout", "error", err)
	case now.Sub(one.Created) >= patience:
		outcome = GaveUp
		log.WarnContext(ctx, "a client could not be told of a logout; given up", "error", err)
	default:
		outcome = Failed
		level := slog.LevelDebug
		if one.Attempt == 1 {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "a client could not be told of a logout yet; it is tried again", "error", err)
	}
	if outcome == Failed {
		err = d.Store.LogoutFailed(ctx, one, now.Add(pause(one.Attempt)))
	} else {
		err = d.Store.LogoutDone(ctx, one)
	}
	if err != nil {
		log.WarnContext(ctx, "what came of telling a client cannot be noted", "error", err)
	}
	d.Counted(outcome)
}

func pause(attempt int64) time.Duration {
	return min(firstPause<<min(attempt-1, 16), longPause)
}

// refusal is an answer that will not change.
type refusal struct{ status int }

func (r *refusal) Error() string { return fmt.Sprintf("it answers %d", r.status) }

// deliver posts a logout token (section 2.5). A client that is not there any more, or does not want to be told any more,
// needs none.
func (d *Deliverer) deliver(ctx context.Context, one Delivery) error {
	client, err := d.Store.Client(ctx, one.ClientID)
	if errors.Is(err, oauth.ErrNotFound) || err == nil && (client.BackchannelLogoutURI == "" || !client.Live(d.Now())) {
		return nil
	}
	if err != nil {
		return err
	}
	token, err := d.Issuer.LogoutToken(&client, one.UserID, one.SessionID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	body := strings.NewReader(url.Values{"logout_token": {token}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, client.BackchannelLogoutURI, body)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := d.client.Do(request)
	if err != nil {
		if named, ok := errors.AsType[*url.Error](err); ok {
			err = named.Err // the URI is known, and its query the client's own business
		}
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // so that the connection can be used again
	return judge(response.StatusCode)
}

// judge says what an answer means (section 2.8): one that another try could change, or one that stands.
func judge(status int) error {
	switch {
	case status/100 == 2:
		return nil
	case status/100 == 5, status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return fmt.Errorf("it answers %d", status)
	}
	return &refusal{status}
}
