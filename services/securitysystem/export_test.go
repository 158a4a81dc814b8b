package securitysystem

import (
	"context"

	"github.com/realguardio/realguardio/services/internal/outbox"
)

// ListQuery is what the tests ask the planner about.
var ListQuery = listQuery

// Followed is where in its stream of events a service is.
func Followed(s *Service) string {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.feed.at.String()
}

// Moved is a position elsewhere in the stream, with the rights that it is for or, without, with none.
func Moved(ctx context.Context, s *Service, position, to string, without bool) (string, error) {
	sealer, err := s.positions.ready(ctx)
	if err != nil {
		return "", err
	}
	from, _, _ := unseal(sealer, position)
	if to != "" {
		if from.at, err = outbox.ParsePosition(to); err != nil {
			return "", err
		}
	}
	if without {
		from.rights = digest{}
	}
	return seal(sealer, from), nil
}

// ReadyPositions returns what reads the key of positions from a store when it is first needed.
func ReadyPositions(store KeyStore) func(context.Context) error {
	p := &positions{store: store}
	return func(ctx context.Context) error {
		_, err := p.ready(ctx)
		return err
	}
}
