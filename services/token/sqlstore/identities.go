package sqlstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
)

const linkColumns = `issuer, subject, user_id, email, linked_at, last_used_at`

// UserByIdentity implements account.Identities.
func (s *Store) UserByIdentity(ctx context.Context, issuer, subject string, now time.Time) (account.User, error) {
	if !storable(issuer) || !storable(subject) {
		return account.User{}, account.ErrNotFound
	}
	var id string
	err := s.db.QueryRow(ctx, `UPDATE federated_identities SET last_used_at = $3 WHERE issuer = $1 AND subject = $2 RETURNING user_id`,
		issuer, subject, sqldb.Micros(now)).Scan(&id)
	if errors.Is(err, sqldb.ErrNoRows) {
		return account.User{}, account.ErrNotFound
	}
	if err != nil {
		return account.User{}, failed("looking for an identity", err)
	}
	return s.User(ctx, id)
}

// LinkOf implements account.Identities.
func (s *Store) LinkOf(ctx context.Context, user, issuer string) (account.Link, error) {
	link, err := scanLink(s.db.QueryRow(ctx, `SELECT `+linkColumns+` FROM federated_identities WHERE user_id = $1 AND issuer = $2`, user, issuer))
	if errors.Is(err, sqldb.ErrNoRows) {
		return account.Link{}, account.ErrNotFound
	}
	if err != nil {
		return account.Link{}, failed("reading a link", err)
	}
	return link, nil
}

// Links lists the identities that an account goes with, by issuer.
func (s *Store) Links(ctx context.Context, user string) ([]account.Link, error) {
	list, err := rowsOf(scanLink)(s.db.Query(ctx, `SELECT `+linkColumns+` FROM federated_identities WHERE user_id = $1 ORDER BY issuer`, user))
	if err != nil {
		return nil, failed("listing links", err)
	}
	return list, nil
}

func scanLink(row scanner) (link account.Link, err error) {
	var linked, used int64
	err = row.Scan(&link.Issuer, &link.Subject, &link.UserID, &link.Email, &linked, &used)
	link.Linked, link.LastUsed = sqldb.Time(linked), sqldb.Time(used)
	return link, err
}

// AddLink implements account.Identities.
func (s *Store) AddLink(ctx context.Context, user account.User, link account.Link, email string, post account.Post) error {
	if !storable(link.Subject) {
		return account.ErrNotFound
	}
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM users WHERE id = $1 AND NOT disabled AND credentials = $3
			AND ($2 = '' OR email_verified AND email_key = $2)`, link.UserID, account.EmailKey(email), user.Credentials).Scan(&n)
		if err != nil {
			return err
		}
		if n == 0 {
			return account.ErrNotFound
		}
		return addLink(ctx, tx, link, post)
	})
	return asIs(err, "linking an identity", account.ErrNotFound, account.ErrOtherIdentity)
}

func addLink(ctx context.Context, tx sqldb.Tx, link account.Link, post account.Post) error {
	n, err := tx.Exec(ctx, `INSERT INTO federated_identities (`+linkColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		link.Issuer, link.Subject, link.UserID, link.Email, sqldb.Micros(link.Linked), sqldb.Micros(link.LastUsed))
	if err != nil {
		return err
	}
	if n == 1 {
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: link.Linked, Actor: link.UserID, Action: "identity.link", Target: link.UserID,
			Details: map[string]string{"issuer": link.Issuer, "subject": link.Subject}})
	}
	err = tx.QueryRow(ctx, `SELECT count(*) FROM federated_identities WHERE issuer = $1 AND subject = $2 AND user_id = $3`,
		link.Issuer, link.Subject, link.UserID).Scan(&n)
	if err == nil && n == 0 {
		err = account.ErrOtherIdentity
	}
	return err
}

// AddLinkedUser implements account.Identities.
func (s *Store) AddLinkedUser(ctx context.Context, user account.User, link account.Link) error {
	if !storable(link.Subject) {
		return account.ErrNotFound
	}
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertUser, userValues(&user, false)...)
		if err == nil && n == 0 {
			err = account.ErrExists
		}
		if err == nil {
			err = audit.Add(ctx, tx, audit.Entry{Time: user.Created, Actor: user.ID, Action: "user.create", Target: user.ID,
				Details: map[string]string{"issuer": link.Issuer}})
		}
		if err == nil {
			err = addLink(ctx, tx, link, account.Post{})
		}
		if errors.Is(err, account.ErrOtherIdentity) {
			err = account.ErrExists
		}
		return err
	})
	return asIs(err, "storing an account", account.ErrExists)
}

// RemoveLink ends that an identity signs its person in, unless there is no other way in: account.ErrLastWay. A password is
// one, and so are the identities of these issuers. One that is not there is account.ErrNotFound.
func (s *Store) RemoveLink(ctx context.Context, user, issuer string, others []string, now time.Time) error {
	if !storable(issuer) {
		return account.ErrNotFound
	}
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		var subject string
		err := tx.QueryRow(ctx, `DELETE FROM federated_identities WHERE user_id = $1 AND issuer = $2 RETURNING subject`, user, issuer).Scan(&subject)
		if errors.Is(err, sqldb.ErrNoRows) {
			return account.ErrNotFound
		}
		if err != nil {
			return err
		}
		left, err := ways(ctx, tx, user, others)
		if err != nil {
			return err
		}
		if left == 0 && slices.Contains(others, issuer) {
			return account.ErrLastWay
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: user, Action: "identity.unlink", Target: user,
			Details: map[string]string{"issuer": issuer, "subject": subject}})
	})
	return asIs(err, "removing a link", account.ErrNotFound, account.ErrLastWay)
}

// ways counts how many ways into an account there are.
func ways(ctx context.Context, tx sqldb.Tx, user string, issuers []string) (n int64, err error) {
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM users WHERE id = $1 AND password_hash <> ''`, user).Scan(&n); err != nil {
		return 0, err
	}
	for _, issuer := range issuers {
		var linked int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM federated_identities WHERE user_id = $1 AND issuer = $2`, user, issuer).Scan(&linked)
		if err != nil {
			return 0, err
		}
		n += linked
	}
	return n, nil
}

// asIs returns the errors that say something to the caller as they are, and wraps all others.
func asIs(err error, doing string, said ...error) error {
	for _, e := range said {
		if errors.Is(err, e) {
			return e
		}
	}
	if err != nil {
		return failed(doing, err)
	}
	return nil
}
