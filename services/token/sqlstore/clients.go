package sqlstore

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/revocation"
)

const insertClient = `INSERT INTO clients (` + clientColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
		$27, $28, $29, $30, $31, $32, $33)`

// Client implements oauth.ClientStore. It is all that a client credentials request asks of the database.
func (s *Store) Client(ctx context.Context, id string) (oauth.Client, error) {
	if !storable(id) {
		return oauth.Client{}, oauth.ErrNotFound
	}
	c, err := scanClient(s.db.QueryRow(ctx, `SELECT `+clientRow+` FROM clients WHERE id = $1`, id))
	if errors.Is(err, sqldb.ErrNoRows) {
		return oauth.Client{}, oauth.ErrNotFound
	}
	if err != nil {
		return oauth.Client{}, failed("reading a client", err)
	}
	return c, nil
}

func clientValues(c *oauth.Client) []any {
	return []any{
		c.ID, c.Name, string(c.Kind), c.Owner, hex.EncodeToString(c.SecretHash), c.Public, join(c.Grants), join(c.RedirectURIs),
		join(c.PostLogoutURIs), join(c.Scopes), c.FirstParty, c.AccessTokenLifetime.Microseconds(), string(c.AccessAlg),
		string(c.IDAlg), sqldb.Micros(c.Created), sqldb.Micros(c.Disabled), hex.EncodeToString(c.PreviousSecretHash),
		sqldb.Micros(c.PreviousSecretUntil), c.SecretPrefix, sqldb.Micros(c.Expires), sqldb.Micros(c.LastUsed), c.JWKS, c.OpaqueTokens,
		c.RefreshTokenLifetime.Microseconds(), c.IDTokenLifetime.Microseconds(), c.PKCEOptional, c.RequirePushedRequests,
		c.BackchannelLogoutURI, c.Epoch, string(c.TLSAuth.By), c.TLSAuth.Name, c.DPoPBoundTokens, c.CertificateBoundTokens,
	}
}

// AddClient stores a new client.
func (s *Store) AddClient(ctx context.Context, c oauth.Client) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, insertClient, clientValues(&c)...); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: c.Created, Action: deed(c.Kind, "create"), Target: c.ID,
			Details: map[string]string{"name": c.Name, "owner": c.Owner}})
	})
	if err != nil {
		return failed("storing a client", err)
	}
	return nil
}

// PutClient stores a client, or makes the one with its id the same; when that was created and last used, whether it is
// disabled, its epoch, and, if keepSecret, its secret stay.
func (s *Store) PutClient(ctx context.Context, c oauth.Client, keepSecret bool) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		before, err := scanClient(tx.QueryRow(ctx, `SELECT `+clientRow+` FROM clients WHERE id = $1`, c.ID))
		if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
			return err
		}
		done := "update"
		if err != nil {
			done = "create"
		}
		if err := putClient(ctx, tx, &c, keepSecret); err != nil {
			return err
		}
		after, err := scanClient(tx.QueryRow(ctx, `SELECT `+clientRow+` FROM clients WHERE id = $1`, c.ID))
		if err != nil || slices.Equal(clientValues(&before), clientValues(&after)) {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: c.Created, Action: deed(c.Kind, done), Target: c.ID, Details: map[string]string{"name": c.Name}})
	})
	if err != nil {
		return failed("storing a client", err)
	}
	return nil
}

func putClient(ctx context.Context, q sqldb.Querier, c *oauth.Client, keepSecret bool) error {
	secret := `secret_hash = excluded.secret_hash, secret_prefix = excluded.secret_prefix,
		previous_secret_hash = excluded.previous_secret_hash, previous_secret_until = excluded.previous_secret_until,`
	if keepSecret {
		secret = ``
	}
	_, err := q.Exec(ctx, insertClient+` ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
		owner = excluded.owner, `+secret+` public = excluded.public, grants = excluded.grants,
		redirect_uris = excluded.redirect_uris, post_logout_uris = excluded.post_logout_uris, scopes = excluded.scopes,
		first_party = excluded.first_party, access_token_lifetime = excluded.access_token_lifetime,
		access_alg = excluded.access_alg, id_alg = excluded.id_alg, expires_at = excluded.expires_at, jwks = excluded.jwks,
		opaque_tokens = excluded.opaque_tokens, refresh_token_lifetime = excluded.refresh_token_lifetime,
		id_token_lifetime = excluded.id_token_lifetime, pkce_optional = excluded.pkce_optional,
		require_pushed_requests = excluded.require_pushed_requests, backchannel_logout_uri = excluded.backchannel_logout_uri,
		tls_auth_by = excluded.tls_auth_by, tls_auth_name = excluded.tls_auth_name, dpop_bound_tokens = excluded.dpop_bound_tokens,
		certificate_bound_tokens = excluded.certificate_bound_tokens`, clientValues(c)...)
	return err
}

// ChangeClient stores what change makes of a client of a kind, together with an entry about it, and returns the client as
// it is then. Where the epoch is raised, what the client got in its own name before has ended. change may be called
// several times, each time with the client as it is; where it fails nothing has changed, and its error is returned.
// oauth.ErrNotFound if there is no such client.
func (s *Store) ChangeClient(ctx context.Context, kind oauth.ClientKind, id string, e audit.Entry, change func(*oauth.Client) error) (oauth.Client, error) {
	if !storable(id) {
		return oauth.Client{}, oauth.ErrNotFound
	}
	var changed oauth.Client
	var refused error
	raised := false
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		c, err := scanClient(tx.QueryRow(ctx, `SELECT `+clientRow+` FROM clients WHERE id = $1 AND kind = $2`, id, string(kind)))
		if err != nil {
			return err
		}
		before := c.Epoch
		if refused = change(&c); refused != nil {
			return refused
		}
		if err := putClient(ctx, tx, &c, false); err != nil {
			return err
		}
		if raised = c.Epoch > before; raised {
			if err := endOwnTokens(ctx, tx, &c, e.Time); err != nil {
				return err
			}
		}
		changed, e.Target = c, id
		return audit.Add(ctx, tx, e)
	})
	switch {
	case refused != nil:
		return oauth.Client{}, refused
	case errors.Is(err, sqldb.ErrNoRows):
		return oauth.Client{}, oauth.ErrNotFound
	case err != nil:
		return oauth.Client{}, failed("changing a client", err)
	}
	if raised {
		s.revoked(revocation.Subject)
	}
	return changed, nil
}

// endOwnTokens stores a client's epoch and ends every token of an earlier one. In its own name a client is the subject.
func endOwnTokens(ctx context.Context, tx sqldb.Tx, c *oauth.Client, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE clients SET epoch = $2 WHERE id = $1`, c.ID, c.Epoch); err != nil {
		return err
	}
	return addEntry(ctx, tx, revocation.Entry{Kind: revocation.Subject, Value: c.ID, BelowEpoch: c.Epoch, Expires: now.Add(oauth.TokensLive)}, now)
}

// KeysUsed implements usage.Store.
func (s *Store) KeysUsed(ctx context.Context, ids []string, at time.Time) error {
	for chunk := range slices.Chunk(ids, 500) {
		args := []any{sqldb.Micros(at)}
		places := make([]string, len(chunk))
		for i, id := range chunk {
			args = append(args, id)
			places[i] = "$" + strconv.Itoa(i+2)
		}
		_, err := s.db.Exec(ctx, `UPDATE clients SET last_used_at = $1 WHERE last_used_at < $1 AND id IN (`+strings.Join(places, ", ")+`)`, args...)
		if err != nil {
			return failed("storing when keys were used", err)
		}
	}
	return nil
}

// deed is what an entry calls something that is done to a client of a kind.
func deed(kind oauth.ClientKind, done string) string {
	switch kind {
	case oauth.KindAPIKey:
		return "apikey." + done
	case oauth.KindPanel:
		return "panel." + done
	}
	return "client." + done
}

// Clients lists at most limit clients of a kind, by id, after one.
func (s *Store) Clients(ctx context.Context, kind oauth.ClientKind, after string, limit int) ([]oauth.Client, error) {
	return s.listClients(ctx, `kind = $1 AND id > $2 ORDER BY id LIMIT $3`, string(kind), after, limit)
}

// OwnedClients lists the clients of a kind that belong to an owner, the newest first.
func (s *Store) OwnedClients(ctx context.Context, kind oauth.ClientKind, owner string) ([]oauth.Client, error) {
	if !storable(owner) {
		return nil, nil
	}
	return s.listClients(ctx, `kind = $1 AND owner = $2 ORDER BY created_at DESC, id DESC`, string(kind), owner)
}

// GrantRegistered tells whether some client may use a grant type.
func (s *Store) GrantRegistered(ctx context.Context, grant string) (bool, error) {
	var n int64
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM clients WHERE disabled_at = 0 AND ' ' || grants || ' ' LIKE '% ' || $1 || ' %'`,
		grant).Scan(&n)
	if err != nil {
		return false, failed("looking for clients of a grant type", err)
	}
	return n > 0, nil
}

// PublicRedirectURIs implements oauth.RedirectURIs.
func (s *Store) PublicRedirectURIs(ctx context.Context) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT redirect_uris FROM clients WHERE public AND disabled_at = 0`)
	if err != nil {
		return nil, failed("reading redirect URIs", err)
	}
	defer rows.Close()
	var uris []string
	for rows.Next() {
		var list string
		if err := rows.Scan(&list); err != nil {
			return nil, failed("reading redirect URIs", err)
		}
		uris = append(uris, split(list)...)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("reading redirect URIs", err)
	}
	return uris, nil
}

func (s *Store) listClients(ctx context.Context, where string, args ...any) ([]oauth.Client, error) {
	list, err := rowsOf(scanClient)(s.db.Query(ctx, `SELECT `+clientRow+` FROM clients WHERE `+where, args...))
	if err != nil {
		return nil, failed("listing clients", err)
	}
	return list, nil
}

// DisableClient ends a client with every grant and token it has, and returns the grants. The tokens expire before until.
// Disabling one that is disabled changes nothing; one that is not there is oauth.ErrNotFound.
func (s *Store) DisableClient(ctx context.Context, id string, now, until time.Time) (grants []string, err error) {
	ended := false
	err = s.db.Tx(ctx, func(tx sqldb.Tx) error {
		grants = nil
		var kind oauth.ClientKind
		err := tx.QueryRow(ctx, `UPDATE clients SET disabled_at = $2 WHERE id = $1 AND disabled_at = 0 RETURNING kind`, id, sqldb.Micros(now)).Scan(&kind)
		if ended = err == nil; errors.Is(err, sqldb.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if grants, err = revokeGrants(ctx, tx, `client_id`, id, now); err != nil {
			return err
		}
		if err := addEntry(ctx, tx, revocation.Entry{Kind: revocation.Client, Value: id, Expires: until}, now); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: deed(kind, "disable"), Target: id})
	})
	if err != nil {
		return nil, failed("disabling a client", err)
	}
	if ended {
		s.revoked(revocation.Client)
		return grants, nil
	}
	_, err = s.Client(ctx, id)
	return nil, err
}
