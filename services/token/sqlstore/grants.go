package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/revocation"
)

const grantColumns = `id, client_id, user_id, session_id, scopes, auth_time, user_epoch, secret, generation, rotated_at, created_at,
	expires_at, revoked_at, audience, userinfo_claims, id_token_claims, methods, bound_to, rotated_by`

const insertGrant = `INSERT INTO grants (` + grantColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`

func grantValues(g *oauth.Grant) []any {
	return []any{
		g.ID, g.ClientID, g.UserID, g.SessionID, join(g.Scopes), sqldb.Micros(g.AuthTime), g.UserEpoch,
		hex.EncodeToString(g.Secret), g.Generation, sqldb.Micros(g.Rotated), sqldb.Micros(g.Created), sqldb.Micros(g.Expires),
		sqldb.Micros(g.Revoked), join(g.Audience), join(g.UserInfoClaims), join(g.IDTokenClaims), join(g.Methods),
		g.BoundTo.String(), g.RotatedBy.String(),
	}
}

// Grant implements oauth.GrantStore.
func (s *Store) Grant(ctx context.Context, id string) (oauth.Grant, error) {
	var g oauth.Grant
	var scopes, secret, audience, userinfo, idToken, methods, bound, by string
	var auth, rotated, created, expires, revoked int64
	err := s.db.QueryRow(ctx, `SELECT `+grantColumns+` FROM grants WHERE id = $1`, id).Scan(&g.ID, &g.ClientID, &g.UserID,
		&g.SessionID, &scopes, &auth, &g.UserEpoch, &secret, &g.Generation, &rotated, &created, &expires, &revoked, &audience,
		&userinfo, &idToken, &methods, &bound, &by)
	if errors.Is(err, sqldb.ErrNoRows) {
		return oauth.Grant{}, oauth.ErrNotFound
	}
	if err != nil {
		return oauth.Grant{}, failed("reading a grant", err)
	}
	if g.Secret, err = hex.DecodeString(secret); err != nil {
		return oauth.Grant{}, fmt.Errorf("reading a grant: its secret: %w", err)
	}
	if g.BoundTo, err = oauth.ParseConfirmation(bound); err == nil {
		g.RotatedBy, err = oauth.ParseConfirmation(by)
	}
	if err != nil { // or one that is bound would pass for one that is not
		return oauth.Grant{}, fmt.Errorf("reading a grant: %w", err)
	}
	g.Scopes, g.Audience, g.Methods = split(scopes), split(audience), split(methods)
	g.UserInfoClaims, g.IDTokenClaims = split(userinfo), split(idToken)
	g.AuthTime, g.Rotated = sqldb.Time(auth), sqldb.Time(rotated)
	g.Created, g.Expires, g.Revoked = sqldb.Time(created), sqldb.Time(expires), sqldb.Time(revoked)
	return g, nil
}

// Rotate implements oauth.GrantStore: one statement decides.
func (s *Store) Rotate(ctx context.Context, id string, from int64, by, bind oauth.Confirmation, now time.Time) error {
	n, err := s.db.Exec(ctx, `UPDATE grants SET generation = generation + 1, rotated_at = $3, rotated_by = $4,
			bound_to = CASE bound_to WHEN '' THEN $5 ELSE bound_to END
		WHERE id = $1 AND generation = $2 AND revoked_at = 0 AND expires_at > $3
			AND (session_id = '' OR EXISTS (SELECT 1 FROM sessions WHERE sessions.id = grants.session_id AND sessions.ended_at = 0))`,
		id, from, sqldb.Micros(now), by.String(), bind.String())
	if err != nil {
		return failed("rotating a grant", err)
	}
	if n == 0 {
		return oauth.ErrStale
	}
	return nil
}

// RevokeGrant implements oauth.GrantStore. The row is written even when the grant is not there yet, so that it cannot come
// to life afterwards.
func (s *Store) RevokeGrant(ctx context.Context, g oauth.Grant, now, until time.Time) error {
	g.Revoked = now
	ended := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertGrant+` ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at
			WHERE grants.revoked_at = 0`, grantValues(&g)...)
		if ended = n == 1; err != nil || !ended {
			return err
		}
		if err := addEntry(ctx, tx, revocation.Entry{Kind: revocation.Grant, Value: g.ID, Expires: until}, now); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, ClientID: g.ClientID, Action: "grant.revoke", Target: g.ID,
			Details: map[string]string{"of": g.UserID}})
	})
	if err != nil {
		return failed("revoking a grant", err)
	}
	if ended {
		s.revoked(revocation.Grant)
	}
	return nil
}

// revokeGrants ends the live grants that have a value in a column, and returns their ids.
func revokeGrants(ctx context.Context, tx sqldb.Tx, column, value string, now time.Time) ([]string, error) {
	return ids(tx.Query(ctx, `UPDATE grants SET revoked_at = $2 WHERE `+column+` = $1 AND revoked_at = 0 RETURNING id`,
		value, sqldb.Micros(now)))
}

// ids reads rows of one column.
func ids(rows *sql.Rows, err error) ([]string, error) {
	return rowsOf(func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	})(rows, err)
}
