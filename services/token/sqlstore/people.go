package sqlstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
)

// changing runs a change to an account and wraps what it failed with, unless that is the account's to say.
func (s *Store) changing(ctx context.Context, doing string, f func(tx sqldb.Tx) error) error {
	err := s.db.Tx(ctx, f)
	if sqldb.IsUnique(err, "users_email_key_key") {
		return account.ErrTaken
	}
	for _, known := range []error{account.ErrNotFound, account.ErrTaken, account.ErrLastAdmin, account.ErrTicketOver, account.ErrRefused, account.ErrDisabled} {
		if errors.Is(err, known) {
			return known
		}
	}
	if err != nil {
		return failed(doing, err)
	}
	return nil
}

// AddUser implements account.People.
func (s *Store) AddUser(ctx context.Context, u account.User, post account.Post) error {
	return s.changing(ctx, "storing an account", func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertUser, userValues(&u, false)...)
		if err != nil {
			return err
		}
		if n == 0 {
			return account.ErrTaken
		}
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: u.Created, Action: "user.invite", Target: u.ID,
			Details: map[string]string{"roles": join(u.Roles)}})
	})
}

// UpdateUser implements account.People.
func (s *Store) UpdateUser(ctx context.Context, id string, name, email *string, post account.Post, now time.Time) (u account.User, err error) {
	err = s.changing(ctx, "changing an account", func(tx sqldb.Tx) error {
		if u, err = userIn(ctx, tx, id); err != nil {
			return err
		}
		u.Updated = now
		if name != nil {
			u.Name = *name
		}
		if email != nil {
			if account.EmailKey(*email) != account.EmailKey(u.Email) {
				u.EmailVerified, u.Credentials = false, u.Credentials+1
			}
			u.Email = *email
		}
		_, err := tx.Exec(ctx, `UPDATE users SET name = $2, email = $3, email_key = $4, email_verified = $5, credentials = $6, updated_at = $7
			WHERE id = $1`, id, u.Name, u.Email, account.EmailKey(u.Email), u.EmailVerified, u.Credentials, sqldb.Micros(now))
		if err != nil {
			return err
		}
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: "user.update", Target: id, Details: changedFields(name, email)})
	})
	return u, err
}

func changedFields(name, email *string) map[string]string {
	details := map[string]string{}
	if name != nil {
		details["name"] = "changed"
	}
	if email != nil {
		details["email"] = "changed"
	}
	return details
}

// userIn reads an account in a transaction.
func userIn(ctx context.Context, tx sqldb.Tx, id string) (account.User, error) {
	if !storable(id) {
		return account.User{}, account.ErrNotFound
	}
	return scanUser(tx.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
}

// unlessLastAdmin keeps a statement on users from touching the last enabled account with the role of an admin: one that
// somebody was only invited to does not stand in for it, as the invitation may have gone to nobody. Lists of roles are
// separated by spaces; in a pattern, the underscore of a name would be any letter.
const unlessLastAdmin = ` AND (disabled OR ' ' || roles || ' ' NOT LIKE '% REALGUARDIO\_ADMIN %' ESCAPE '\'
	OR EXISTS (SELECT 1 FROM users AS others WHERE others.id <> users.id AND NOT others.disabled
		AND (others.password_hash <> '' OR EXISTS (SELECT 1 FROM federated_identities WHERE user_id = others.id))
		AND ' ' || others.roles || ' ' LIKE '% REALGUARDIO\_ADMIN %' ESCAPE '\'))`

// SetRoles implements account.People.
func (s *Store) SetRoles(ctx context.Context, id string, roles []string, now, until time.Time) (u account.User, err error) {
	taken := false
	err = s.changing(ctx, "setting roles", func(tx sqldb.Tx) error {
		if u, err = userIn(ctx, tx, id); err != nil {
			return err
		}
		taken = slices.ContainsFunc(u.Roles, func(role string) bool { return !slices.Contains(roles, role) })
		statement := `UPDATE users SET roles = $2, updated_at = $3 WHERE id = $1`
		if !slices.Contains(roles, account.AdminRole) {
			statement += unlessLastAdmin
		}
		n, err := tx.Exec(ctx, statement, id, join(roles), sqldb.Micros(now))
		if err != nil {
			return err
		}
		if n == 0 {
			return account.ErrLastAdmin
		}
		before := join(u.Roles)
		if taken {
			if err := endTokens(ctx, tx, id, now, until); err != nil {
				return err
			}
		}
		if u, err = userIn(ctx, tx, id); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: "user.set_roles", Target: id,
			Details: map[string]string{"before": before, "roles": join(roles)}})
	})
	if err == nil && taken {
		s.revoked(revocation.Subject)
	}
	return u, err
}

// SetDisabled implements account.People.
func (s *Store) SetDisabled(ctx context.Context, id string, disabled bool, now, until time.Time) (u account.User, ended account.Ended, err error) {
	changed := false
	err = s.changing(ctx, "disabling or enabling an account", func(tx sqldb.Tx) error {
		ended = account.Ended{}
		if u, err = userIn(ctx, tx, id); err != nil {
			return err
		}
		if changed = u.Disabled != disabled; !changed {
			return nil
		}
		action, statement := "user.enable", `UPDATE users SET disabled = FALSE, updated_at = $2 WHERE id = $1`
		if disabled {
			action, statement = "user.disable", `UPDATE users SET disabled = TRUE, credentials = credentials + 1, updated_at = $2
				WHERE id = $1`+unlessLastAdmin
		}
		n, err := tx.Exec(ctx, statement, id, sqldb.Micros(now))
		if err != nil {
			return err
		}
		if n == 0 {
			return account.ErrLastAdmin
		}
		if disabled {
			if ended, err = signOut(ctx, tx, id, "", now, until); err != nil {
				return err
			}
		}
		if u, err = userIn(ctx, tx, id); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: action, Target: id})
	})
	if err == nil && changed && disabled {
		s.revoked(revocation.Subject)
	}
	return u, ended, err
}

// SetPassword implements account.People.
func (s *Store) SetPassword(ctx context.Context, u account.User, renewed, except string, post account.Post, now, until time.Time) (ended account.Ended, err error) {
	err = s.changing(ctx, "changing a password", func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE users SET password_hash = $3, demo_password = FALSE, credentials = credentials + 1
			WHERE id = $1 AND credentials = $2 AND NOT disabled`, u.ID, u.Credentials, renewed)
		if err != nil {
			return err
		}
		if n == 0 {
			return account.ErrRefused
		}
		if ended, err = signOut(ctx, tx, u.ID, except, now, until); err != nil {
			return err
		}
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Action: "user.change_password", Target: u.ID})
	})
	if err == nil {
		s.revoked(revocation.Subject)
	}
	return ended, err
}

// ListUsers implements account.People.
func (s *Store) ListUsers(ctx context.Context, after string, limit int) ([]account.User, error) {
	list, err := rowsOf(scanUser)(s.db.Query(ctx, `SELECT `+userColumns+` FROM users WHERE email_key > $1 ORDER BY email_key LIMIT $2`, after, limit))
	if err != nil {
		return nil, failed("listing accounts", err)
	}
	return list, nil
}
