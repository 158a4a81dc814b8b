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

const userColumns = `id, email, email_verified, name, roles, password_hash, epoch, credentials, disabled, created_at, updated_at, ` + profileColumns

// User returns the account with this id, or account.ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (account.User, error) {
	if !storable(id) {
		return account.User{}, account.ErrNotFound
	}
	return scanUser(s.db.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
}

// UserByEmail returns the account with this address, or account.ErrNotFound.
func (s *Store) UserByEmail(ctx context.Context, email string) (account.User, error) {
	if !storable(email) {
		return account.User{}, account.ErrNotFound
	}
	return scanUser(s.db.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE email_key = $1`, account.EmailKey(email)))
}

func scanUser(row scanner) (account.User, error) {
	var u account.User
	var roles, address string
	var created, updated int64
	err := row.Scan(&u.ID, &u.Email, &u.EmailVerified, &u.Name, &roles, &u.PasswordHash, &u.Epoch, &u.Credentials, &u.Disabled, &created, &updated,
		&u.GivenName, &u.FamilyName, &u.Locale, &u.Zoneinfo, &u.PhoneNumber, &u.PhoneNumberVerified, &address)
	if errors.Is(err, sqldb.ErrNoRows) {
		return account.User{}, account.ErrNotFound
	}
	if err != nil {
		return account.User{}, failed("reading an account", err)
	}
	if u.Address, err = decodeAddress(address); err != nil {
		return account.User{}, failed("reading an account", err)
	}
	u.Roles, u.Created, u.Updated = split(roles), sqldb.Time(created), sqldb.Time(updated)
	return u, nil
}

// insertUser leaves an address that another account has alone.
const insertUser = `INSERT INTO users (id, email, email_key, email_verified, name, roles, password_hash, demo_password,
		epoch, disabled, created_at, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $10) ON CONFLICT (email_key) DO NOTHING`

func userValues(u *account.User, demo bool) []any {
	return []any{u.ID, u.Email, account.EmailKey(u.Email), u.EmailVerified, u.Name, join(u.Roles), u.PasswordHash, demo, false,
		sqldb.Micros(u.Created)}
}

// EnsureUser implements account.People. demo marks a password that the whole world knows.
func (s *Store) EnsureUser(ctx context.Context, u account.User, demo bool, post account.Post) (stored account.User, made bool, err error) {
	err = s.db.Tx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertUser, userValues(&u, demo)...)
		if err != nil {
			return err
		}
		made = n == 1
		stored, err = scanUser(tx.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE email_key = $1`, account.EmailKey(u.Email)))
		if err != nil {
			return err
		}
		if !made {
			return addRoles(ctx, tx, &stored, u.Roles, u.Created)
		}
		if err := putPost(ctx, tx, post); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: u.Created, Action: "user.create", Target: u.ID,
			Details: map[string]string{"roles": join(u.Roles)}})
	})
	if err != nil {
		return account.User{}, false, failed("storing an account", err)
	}
	return stored, made, nil
}

func addRoles(ctx context.Context, tx sqldb.Tx, stored *account.User, roles []string, now time.Time) error {
	had := len(stored.Roles)
	for _, role := range roles {
		if !slices.Contains(stored.Roles, role) {
			stored.Roles = append(stored.Roles, role)
		}
	}
	if len(stored.Roles) == had {
		return nil
	}
	stored.Updated = now
	_, err := tx.Exec(ctx, `UPDATE users SET roles = $2, updated_at = $3 WHERE id = $1`,
		stored.ID, join(stored.Roles), sqldb.Micros(now))
	if err != nil {
		return err
	}
	return audit.Add(ctx, tx, audit.Entry{Time: now, Action: "user.set_roles", Target: stored.ID,
		Details: map[string]string{"roles": join(stored.Roles)}})
}

// ReplacePasswordHash implements account.Users.
func (s *Store) ReplacePasswordHash(ctx context.Context, id, old, renewed string) error {
	_, err := s.db.Exec(ctx, `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`, id, old, renewed)
	if err != nil {
		return failed("replacing a password hash", err)
	}
	return nil
}

// HasDemoPassword tells whether an account that can be signed in to still has the demo's password.
func (s *Store) HasDemoPassword(ctx context.Context) (bool, error) {
	var n int64
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM users WHERE demo_password AND NOT disabled`).Scan(&n)
	if err != nil {
		return false, failed("looking for demo accounts", err)
	}
	return n > 0, nil
}
