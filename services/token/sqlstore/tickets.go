package sqlstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
)

const ticketColumns = `user_id, purpose, hash, nonce, email, created_at, expires_at`

// redeemable is what a link must be: of an account that is not disabled, and has the credentials for which it was made.
const redeemable = ` AND expires_at > $2 AND EXISTS (SELECT 1 FROM users
	WHERE users.id = tickets.user_id AND users.credentials = tickets.credentials AND NOT users.disabled)`

// Ticket implements account.Tickets.
func (s *Store) Ticket(ctx context.Context, hash string, now time.Time) (account.Ticket, account.User, error) {
	ticket, err := scanTicket(s.db.QueryRow(ctx, `SELECT `+ticketColumns+` FROM tickets WHERE hash = $1`+redeemable, hash, sqldb.Micros(now)))
	if errors.Is(err, account.ErrTicketOver) {
		return account.Ticket{}, account.User{}, err
	}
	if err != nil {
		return account.Ticket{}, account.User{}, failed("reading a link", err)
	}
	user, err := s.User(ctx, ticket.UserID)
	return ticket, user, err
}

func scanTicket(row scanner) (ticket account.Ticket, err error) {
	var nonce string
	var created, expires int64
	err = row.Scan(&ticket.UserID, &ticket.Purpose, &ticket.Hash, &nonce, &ticket.Email, &created, &expires)
	if errors.Is(err, sqldb.ErrNoRows) {
		return account.Ticket{}, account.ErrTicketOver
	}
	if err != nil {
		return account.Ticket{}, err
	}
	if ticket.Nonce, err = hex.DecodeString(nonce); err != nil {
		return account.Ticket{}, fmt.Errorf("the nonce of a link: %w", err)
	}
	ticket.Created, ticket.Expires = sqldb.Time(created), sqldb.Time(expires)
	return ticket, nil
}

// SendPost implements account.Tickets.
func (s *Store) SendPost(ctx context.Context, post account.Post) error {
	return s.changing(ctx, "storing a link", func(tx sqldb.Tx) error { return putPost(ctx, tx, post) })
}

// putPost stores what goes out because of a change, in its transaction.
func putPost(ctx context.Context, tx sqldb.Tx, post account.Post) error {
	if post.Ticket != nil {
		if err := putTicket(ctx, tx, post.Ticket); err != nil {
			return err
		}
	}
	for _, l := range post.Letters {
		_, err := tx.Exec(ctx, `INSERT INTO letters (id, kind, user_id, name, address, ticket_hash, attempts, due_at, created_at, given_up, failure,
				traceparent)
			VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, FALSE, '', $8) ON CONFLICT (id) DO NOTHING`,
			l.ID, string(l.Kind), l.UserID, l.Name, l.Address, l.TicketHash, sqldb.Micros(l.Created), mesh.Traceparent(ctx))
		if err != nil {
			return err
		}
	}
	return nil
}

// putTicket stores a link for the credentials that its account has now, in the place of the one before.
func putTicket(ctx context.Context, tx sqldb.Tx, ticket *account.Ticket) error {
	u, err := userIn(ctx, tx, ticket.UserID)
	if err != nil {
		return err
	}
	if u.Disabled {
		return account.ErrDisabled
	}
	_, err = tx.Exec(ctx, `INSERT INTO tickets (`+ticketColumns+`, credentials) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (user_id, purpose) DO UPDATE SET hash = excluded.hash, nonce = excluded.nonce, email = excluded.email,
			credentials = excluded.credentials, created_at = excluded.created_at, expires_at = excluded.expires_at`,
		ticket.UserID, string(ticket.Purpose), ticket.Hash, hex.EncodeToString(ticket.Nonce), ticket.Email, sqldb.Micros(ticket.Created),
		sqldb.Micros(ticket.Expires), u.Credentials)
	return err
}

// takeTicket redeems a link: one statement decides who does.
func takeTicket(ctx context.Context, tx sqldb.Tx, hash string, now time.Time) (account.Ticket, error) {
	return scanTicket(tx.QueryRow(ctx, `DELETE FROM tickets WHERE hash = $1`+redeemable+` RETURNING `+ticketColumns, hash, sqldb.Micros(now)))
}

// RedeemForPassword implements account.Tickets.
func (s *Store) RedeemForPassword(ctx context.Context, hash, renewed string, post account.Post, now, until time.Time) (ended account.Ended, err error) {
	err = s.changing(ctx, "redeeming a link for a password", func(tx sqldb.Tx) error {
		ticket, err := takeTicket(ctx, tx, hash, now)
		if err != nil {
			return err
		}
		sent := ticket.Email != "" // a link that was handed over shows nothing of the address
		_, err = tx.Exec(ctx, `UPDATE users SET password_hash = $2, demo_password = FALSE, email_verified = email_verified OR $4,
			credentials = credentials + 1, updated_at = $3 WHERE id = $1`, ticket.UserID, renewed, sqldb.Micros(now), sent)
		if err != nil {
			return err
		}
		if ended, err = signOut(ctx, tx, ticket.UserID, "", now, until); err != nil {
			return err
		}
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: ticket.UserID, Action: "user.choose_password", Target: ticket.UserID,
			Details: map[string]string{"by": string(ticket.Purpose), "link": map[bool]string{true: "sent", false: "handed over"}[sent]}})
	})
	if err == nil {
		s.revoked(revocation.Subject)
	}
	return ended, err
}

// RedeemForAddress implements account.Tickets.
func (s *Store) RedeemForAddress(ctx context.Context, hash string, post account.Post, now time.Time) error {
	return s.changing(ctx, "redeeming a link for an address", func(tx sqldb.Tx) error {
		ticket, err := takeTicket(ctx, tx, hash, now)
		if err != nil {
			return err
		}
		statement := `UPDATE users SET email = $2, email_key = $3, email_verified = TRUE, updated_at = $4 WHERE id = $1`
		if ticket.Purpose == account.NewAddress {
			statement = `UPDATE users SET email = $2, email_key = $3, email_verified = TRUE, updated_at = $4, credentials = credentials + 1
				WHERE id = $1`
		}
		_, err = tx.Exec(ctx, statement, ticket.UserID, ticket.Email, account.EmailKey(ticket.Email), sqldb.Micros(now))
		if err != nil {
			return err
		}
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: ticket.UserID, Action: "user.confirm_address", Target: ticket.UserID,
			Details: map[string]string{"by": string(ticket.Purpose)}})
	})
}
