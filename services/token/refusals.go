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

// refused records that a password was refused. The account is empty for an address that nobody has; what was typed for
// one is not recorded: it may be a password.
func (s *Service) refused(ctx context.Context, r account.Refusal) {
	about := account.Bucket{Name: "audit:account:" + r.UserID, Limit: refusalsPerAccount, Window: refusalWindow}
	if r.UserID == "" {
		about = account.Bucket{Name: "audit:network:" + account.Network(r.Address), Limit: refusalsPerNetwork, Window: refusalWindow}
	}
	wait, err := s.redis.Begin(ctx, []account.Bucket{about, {Name: "audit:refusals", Limit: refusalsInAll, Window: refusalWindow}})
	if err == nil && wait == 0 {
		err = s.store.Record(ctx, audit.Entry{Time: s.now(), Action: r.Action, Target: r.UserID, Result: r.Why, Address: r.Address})
	}
	if err != nil {
		s.log.WarnContext(ctx, "a refused password was not recorded", "subject", r.UserID, "error", err)
	}
}
