package sqlstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// Consent implements oauth.ConsentStore. No consent is no scopes.
func (s *Store) Consent(ctx context.Context, user, client string) ([]string, error) {
	var scopes string
	err := s.db.QueryRow(ctx, `SELECT scopes FROM consents WHERE user_id = $1 AND client_id = $2`, user, client).Scan(&scopes)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("reading a consent", err)
	}
	return split(scopes), nil
}

// RememberConsent implements oauth.ConsentStore.
func (s *Store) RememberConsent(ctx context.Context, user, client string, scopes []string, now time.Time) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO consents (user_id, client_id, scopes, updated_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, client_id) DO UPDATE SET updated_at = excluded.updated_at, scopes =
				CASE WHEN ' ' || consents.scopes || ' ' LIKE '% ' || excluded.scopes || ' %' THEN consents.scopes
				ELSE consents.scopes || ' ' || excluded.scopes END`, user, client, join(scopes), sqldb.Micros(now))
		if err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: user, ClientID: client, Action: "consent.give", Target: client,
			Details: map[string]string{"scopes": join(scopes)}})
	})
	if err != nil {
		return failed("storing a consent", err)
	}
	return nil
}

// RevokeConsent implements oauth.ConsentStore. The row stays and says when, for codes that are not redeemed yet.
func (s *Store) RevokeConsent(ctx context.Context, user, client string, now, until time.Time) (grants []string, err error) {
	if !storable(user) || !storable(client) {
		return nil, nil
	}
	err = s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE consents SET scopes = '', updated_at = $3, revoked_at = $3
			WHERE user_id = $1 AND client_id = $2 AND scopes <> ''`, user, client, sqldb.Micros(now))
		if err != nil {
			return err
		}
		grants, err = ids(tx.Query(ctx, `UPDATE grants SET revoked_at = $3
			WHERE user_id = $1 AND client_id = $2 AND revoked_at = 0 RETURNING id`, user, client, sqldb.Micros(now)))
		if err != nil || n == 0 && len(grants) == 0 {
			return err
		}
		for _, id := range grants {
			if err := addEntry(ctx, tx, revocation.Entry{Kind: revocation.Grant, Value: id, Expires: until}, now); err != nil {
				return err
			}
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: "consent.revoke", Target: client, Details: map[string]string{"of": user}})
	})
	if err != nil {
		return nil, failed("revoking a consent", err)
	}
	if len(grants) > 0 {
		s.revoked(revocation.Grant)
	}
	return grants, nil
}

// Consents lists what a person has allowed, by application.
func (s *Store) Consents(ctx context.Context, user string) ([]oauth.Given, error) {
	list, err := rowsOf(scanGiven)(s.db.Query(ctx, `SELECT consents.client_id, clients.name, consents.scopes, consents.updated_at
		FROM consents JOIN clients ON clients.id = consents.client_id
		WHERE consents.user_id = $1 AND consents.scopes <> '' ORDER BY consents.client_id`, user))
	if err != nil {
		return nil, failed("listing consents", err)
	}
	return list, nil
}

func scanGiven(row scanner) (oauth.Given, error) {
	var g oauth.Given
	var scopes string
	var updated int64
	if err := row.Scan(&g.ClientID, &g.ClientName, &scopes, &updated); err != nil {
		return oauth.Given{}, err
	}
	for _, scope := range split(scopes) {
		if !slices.Contains(g.Scopes, scope) {
			g.Scopes = append(g.Scopes, scope)
		}
	}
	g.Updated = sqldb.Time(updated)
	return g, nil
}

// OpenGrant implements oauth.GrantStore.
func (s *Store) OpenGrant(ctx context.Context, g oauth.Grant, consented bool) error {
	direct := g.SessionID == "" // by the password grant, and so a login of its own
	if !consented && !direct {
		if _, err := s.db.Exec(ctx, insertGrant+` ON CONFLICT (id) DO NOTHING`, grantValues(&g)...); err != nil {
			return failed("storing a grant", err)
		}
		return nil
	}
	// Of this and a revocation at the same moment one is first, as both read what the other writes.
	withdrawn := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		var revoked int64
		err := tx.QueryRow(ctx, `SELECT revoked_at FROM consents WHERE user_id = $1 AND client_id = $2`, g.UserID, g.ClientID).Scan(&revoked)
		if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
			return err
		}
		if withdrawn = err == nil && revoked >= sqldb.Micros(g.Created); withdrawn {
			return nil
		}
		if _, err = tx.Exec(ctx, insertGrant+` ON CONFLICT (id) DO NOTHING`, grantValues(&g)...); err != nil || !direct {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: g.Created, Actor: g.UserID, ClientID: g.ClientID, Action: "login", Target: g.ID,
			Details: map[string]string{"methods": join(g.Methods)}})
	})
	if err != nil {
		return failed("storing a grant", err)
	}
	if withdrawn {
		return oauth.ErrStale
	}
	return nil
}
