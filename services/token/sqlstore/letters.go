package sqlstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
)

// ClaimLetters implements account.Letters.
func (s *Store) ClaimLetters(ctx context.Context, now, until time.Time, n int) ([]account.Letter, error) {
	list, err := rowsOf(scanLetter)(s.db.Query(ctx, `UPDATE letters SET due_at = $2, attempts = attempts + 1
		WHERE id IN (SELECT id FROM letters WHERE NOT given_up AND due_at <= $1 ORDER BY due_at LIMIT $3) AND NOT given_up AND due_at <= $1
		RETURNING id, kind, user_id, name, address, ticket_hash, attempts, created_at, traceparent`, sqldb.Micros(now), sqldb.Micros(until), n))
	if err != nil {
		return nil, failed("claiming letters", err)
	}
	return list, nil
}

func scanLetter(row scanner) (account.Letter, error) {
	var l account.Letter
	var created int64
	if err := row.Scan(&l.ID, &l.Kind, &l.UserID, &l.Name, &l.Address, &l.TicketHash, &l.Attempts, &created, &l.Traceparent); err != nil {
		return account.Letter{}, err
	}
	l.Created = sqldb.Time(created)
	return l, nil
}

// FinishLetter implements account.Letters.
func (s *Store) FinishLetter(ctx context.Context, id string, post account.Post) error {
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM letters WHERE id = $1`, id); err != nil {
			return err
		}
		// Of an account that was disabled meanwhile nobody is sent anything.
		if err := putPost(ctx, tx, post); !errors.Is(err, account.ErrDisabled) && !errors.Is(err, account.ErrNotFound) {
			return err
		}
		return nil
	})
	if err != nil {
		return failed("finishing a letter", err)
	}
	return nil
}

// PostponeLetter implements account.Letters.
func (s *Store) PostponeLetter(ctx context.Context, id string, due time.Time, failure string) error {
	return s.letterFailed(ctx, id, due, failure, false)
}

// GiveUpLetter implements account.Letters.
func (s *Store) GiveUpLetter(ctx context.Context, id string, now time.Time, failure string) error {
	return s.letterFailed(ctx, id, now, failure, true)
}

func (s *Store) letterFailed(ctx context.Context, id string, due time.Time, failure string, givenUp bool) error {
	failure = strings.ReplaceAll(strings.ToValidUTF8(failure, ""), "\x00", "")
	_, err := s.db.Exec(ctx, `UPDATE letters SET due_at = $2, failure = $3, given_up = $4 WHERE id = $1`, id, sqldb.Micros(due), failure, givenUp)
	if err != nil {
		return failed("recording what became of a letter", err)
	}
	return nil
}
