package token

import (
	"context"
	"sync/atomic"

	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/sqlstore"
)

// advice is where it is said why a grant should not be used any more.
var advice = map[string]string{oauth.GrantPassword: "RFC 9700, section 2.4", oauth.GrantImplicit: "RFC 9700, section 2.1.2"}

// deprecatedGrants knows whether some client may use a grant that RFC 9700 advises against, as far as known here.
type deprecatedGrants struct{ password, implicit atomic.Bool }

// of returns what is known of a grant; nil for one that is not deprecated.
func (d *deprecatedGrants) of(grant string) *atomic.Bool {
	switch grant {
	case oauth.GrantPassword:
		return &d.password
	case oauth.GrantImplicit:
		return &d.implicit
	}
	return nil
}

func (d *deprecatedGrants) inUse(grant string) bool {
	used := d.of(grant)
	return used != nil && used.Load()
}

// look asks the database.
func (d *deprecatedGrants) look(ctx context.Context, store *sqlstore.Store) error {
	for _, grant := range []string{oauth.GrantPassword, oauth.GrantImplicit} {
		used, err := store.GrantRegistered(ctx, grant)
		if err != nil {
			return err
		}
		d.of(grant).Store(used)
	}
	return nil
}

// registered takes notice of a client that was registered or changed. It tells the operator once a client may use a
// deprecated grant, and lets discovery say so.
func (s *Service) registered(ctx context.Context, c *oauth.Client) {
	s.origins.Forget()
	for _, grant := range c.Grants {
		if used := s.deprecated.of(grant); used != nil {
			used.Store(true)
			s.log.WarnContext(ctx, "a client may use the "+grant+" grant; it is deprecated ("+advice[grant]+")", "client_id", c.ID)
		}
	}
}
