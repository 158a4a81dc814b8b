package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// SignOutUser implements oauth.AccountStore.
func (s *Store) SignOutUser(ctx context.Context, id, except string, now, until time.Time) (ended account.Ended, err error) {
	if !storable(id) {
		return account.Ended{}, account.ErrNotFound
	}
	err = s.db.Tx(ctx, func(tx sqldb.Tx) error {
		if ended, err = signOut(ctx, tx, id, except, now, until); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: person(ctx, id), Action: "user.sign_out", Target: id})
	})
	if errors.Is(err, account.ErrNotFound) {
		return account.Ended{}, err
	}
	if err != nil {
		return account.Ended{}, failed("signing a person out", err)
	}
	s.revoked(revocation.Subject)
	return ended, nil
}

// signOut raises a person's epoch and ends everything but the session except, which is taken along with its grants.
func signOut(ctx context.Context, tx sqldb.Tx, id, except string, now, until time.Time) (ended account.Ended, err error) {
	epoch, err := raiseEpoch(ctx, tx, id, now, until)
	if err != nil {
		return account.Ended{}, err
	}
	ended.Sessions, err = ids(tx.Query(ctx, `UPDATE sessions SET ended_at = $3
		WHERE user_id = $1 AND id <> $2 AND ended_at = 0 RETURNING id`, id, except, sqldb.Micros(now)))
	if err != nil {
		return account.Ended{}, err
	}
	// A grant of no session is the password grant's. It is never kept.
	ended.Grants, err = ids(tx.Query(ctx, `UPDATE grants SET revoked_at = $3
		WHERE user_id = $1 AND (session_id = '' OR session_id <> $2) AND revoked_at = 0 RETURNING id`, id, except, sqldb.Micros(now)))
	if err != nil {
		return account.Ended{}, err
	}
	if err := takeAlong(ctx, tx, id, epoch); err != nil {
		return account.Ended{}, err
	}
	return ended, sessionsEnded(ctx, tx, ended.Sessions, now, until)
}

// endTokens raises a person's epoch and takes everything along that lives: access tokens end, and can be renewed.
func endTokens(ctx context.Context, tx sqldb.Tx, id string, now, until time.Time) error {
	epoch, err := raiseEpoch(ctx, tx, id, now, until)
	if err != nil {
		return err
	}
	return takeAlong(ctx, tx, id, epoch)
}

// raiseEpoch ends every token of a person that was issued before.
func raiseEpoch(ctx context.Context, tx sqldb.Tx, id string, now, until time.Time) (epoch int64, err error) {
	err = tx.QueryRow(ctx, `UPDATE users SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch`, id).Scan(&epoch)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, account.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return epoch, addEntry(ctx, tx, revocation.Entry{Kind: revocation.Subject, Value: id, BelowEpoch: epoch, Expires: until}, now)
}

// takeAlong moves what lives to the epoch that was just raised. What had been left behind before stays behind.
func takeAlong(ctx context.Context, tx sqldb.Tx, id string, epoch int64) error {
	for _, living := range []string{
		`UPDATE sessions SET user_epoch = $2 WHERE user_id = $1 AND user_epoch = $3 AND ended_at = 0`,
		`UPDATE grants SET user_epoch = $2 WHERE user_id = $1 AND user_epoch = $3 AND revoked_at = 0`,
	} {
		if _, err := tx.Exec(ctx, living, id, epoch, epoch-1); err != nil {
			return err
		}
	}
	return nil
}
