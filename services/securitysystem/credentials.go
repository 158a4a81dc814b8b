package securitysystem

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
)

const (
	// endEvery is how often credentials are looked for that nobody nudged about: those of a process that died.
	endEvery = 30 * time.Second
	endBatch = 32
	// maxEndWait limits the pause after a failure to end credentials; the first one is a second.
	maxEndWait = 10 * time.Minute
)

// credentials are those of panels. The identity provider keeps them; here stands which of them are to be ended, so that none
// outlives its system however often a process dies in between.
type credentials struct {
	accounts tokenv1.AdminServiceClient
	store    PanelStore
	log      *slog.Logger
	now      func() time.Time
	nudge    chan struct{}
}

// Issue registers new credentials for the panel of a system.
func (c *credentials) Issue(ctx context.Context, system System) (*tokenv1.RegisterPanelResponse, error) {
	// The provider takes 200 characters.
	name := []rune("Panel at " + system.LocationName)
	panel, err := c.accounts.RegisterPanel(ctx, &tokenv1.RegisterPanelRequest{Name: string(name[:min(len(name), 200)])})
	if down(ctx, err) {
		return nil, mesh.Unavailable("the identity provider")
	}
	if err != nil {
		// A refusal of this service is not one of its caller, and must not look like it.
		return nil, fmt.Errorf("register panel: %w", err)
	}
	return panel, nil
}

// Discard ends credentials that were issued in vain. Where even that cannot be noted they stay, without a system to report
// for.
func (c *credentials) Discard(ctx context.Context, clientID string) {
	note, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.store.Retire(note, clientID, c.now()); err != nil {
		c.log.ErrorContext(ctx, "unused panel credentials stay in force", "client_id", clientID, "error", err)
	}
	c.Nudge()
}

// Nudge tells that credentials are to be ended. It never blocks.
func (c *credentials) Nudge() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// Run ends retired credentials until ctx ends, and then returns nil.
func (c *credentials) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := endEvery
		if err := c.end(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "panel credentials are still in force", "error", err)
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.nudge:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// end ends the credentials that are due. One that cannot be ended holds up no other.
func (c *credentials) end(ctx context.Context) error {
	due, err := c.store.Retired(ctx, c.now(), endBatch)
	if err != nil {
		return err
	}
	var failure error
	for _, panel := range due {
		_, err := c.accounts.RemovePanel(ctx, &tokenv1.RemovePanelRequest{ClientId: panel.ClientID})
		if err == nil || status.Code(err) == codes.NotFound {
			if err := c.store.Ended(ctx, panel.ClientID); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		failure = fmt.Errorf("remove panel: %w", err)
		wait := min(time.Second<<min(panel.Attempts, 20), maxEndWait)
		if err := c.store.Postpone(ctx, panel.ClientID, c.now().Add(wait)); err != nil {
			return err
		}
	}
	if len(due) == endBatch {
		c.Nudge()
	}
	return failure
}
