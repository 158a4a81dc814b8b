package token

import (
	"context"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/account"
)

// Anybody can be refused, as often as they like: of refusals only so many are recorded, about one account or from one
// network where no account was meant, and in all. What goes beyond is in the logs and the metrics.
const (
	refusalWindow      = time.Hour
	refusalsPerAccount = 50
	refusalsPerNetwork = 50
	refusalsInAll      = 5000
)

// refusalsWaiting is how many refusals may wait to be recorded; recordingTime is how long one may take.
const (
	refusalsWaiting = 1000
	recordingTime   = 5 * time.Second
)

// refusal is one that is to be recorded, with what is known of its request.
type refusal struct {
	account.Refusal
	ctx context.Context
	at  time.Time
}

// refused has it recorded that a password was refused. Nobody waits for that: of an account there is a record where of an
// address that nobody has there is none any more, and who waited longer would know which it was.
func (s *Service) refused(ctx context.Context, r account.Refusal) {
	select {
	case s.refusals <- refusal{r, context.WithoutCancel(ctx), s.now()}:
	default:
		s.log.WarnContext(ctx, "a refused password was not recorded: too many wait", "subject", r.UserID)
	}
}

// recordRefusals records until ctx ends, and then what waits.
func (s *Service) recordRefusals(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case r := <-s.refusals:
			s.recordRefusal(r)
		case <-ctx.Done():
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordingTime)
	defer cancel()
	for ending.Err() == nil {
		select {
		case r := <-s.refusals:
			s.recordRefusal(r)
		default:
			return
		}
	}
}

// recordRefusal records one. The account is empty for an address that nobody has; what was typed for one is not recorded: it
// may be a password.
func (s *Service) recordRefusal(r refusal) {
	ctx, cancel := context.WithTimeout(r.ctx, recordingTime)
	defer cancel()
	about := account.Bucket{Name: "audit:account:" + r.UserID, Limit: refusalsPerAccount, Window: refusalWindow}
	if r.UserID == "" {
		about = account.Bucket{Name: "audit:network:" + account.Network(r.Address), Limit: refusalsPerNetwork, Window: refusalWindow}
	}
	wait, err := s.redis.Begin(ctx, []account.Bucket{about, {Name: "audit:refusals", Limit: refusalsInAll, Window: refusalWindow}})
	if err == nil && wait == 0 {
		err = s.store.Record(ctx, audit.Entry{Time: r.at, Action: r.Action, Target: r.UserID, Result: r.Why, Address: r.Address})
	}
	if err != nil {
		s.log.WarnContext(ctx, "a refused password was not recorded", "subject", r.UserID, "error", err)
	}
}
