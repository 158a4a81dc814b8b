package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
)

const profileColumns = `given_name, family_name, locale, zoneinfo, phone_number, phone_number_verified, address`

// SetProfile changes an account's name and profile, and returns it as it is then. change gets the account as it is and may
// be called several times; whatever else it changes is not stored. A phone number that it changes is no longer verified.
// account.ErrNotFound if there is no such account.
func (s *Store) SetProfile(ctx context.Context, id string, change func(*account.User), now time.Time) (account.User, error) {
	var changed account.User
	err := s.db.Tx(ctx, func(tx sqldb.Tx) error {
		user, err := scanUser(tx.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
		if err != nil {
			return err
		}
		next := user
		change(&next)
		changed = user
		changed.Name, changed.Profile, changed.Updated = next.Name, next.Profile, now
		changed.PhoneNumberVerified = user.PhoneNumberVerified && changed.PhoneNumber == user.PhoneNumber
		if err := putProfile(ctx, tx, &changed); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: now, Actor: person(ctx, id), Action: "user.update_profile", Target: id})
	})
	if errors.Is(err, account.ErrNotFound) {
		return account.User{}, err
	}
	if err != nil {
		return account.User{}, failed("changing a profile", err)
	}
	return changed, nil
}

func putProfile(ctx context.Context, tx sqldb.Tx, u *account.User) error {
	address, err := encodeAddress(u.Address)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE users SET name = $2, given_name = $3, family_name = $4, locale = $5, zoneinfo = $6,
			phone_number = $7, phone_number_verified = $8, address = $9, updated_at = $10 WHERE id = $1`,
		u.ID, u.Name, u.GivenName, u.FamilyName, u.Locale, u.Zoneinfo, u.PhoneNumber, u.PhoneNumberVerified, address, sqldb.Micros(u.Updated))
	return err
}

func encodeAddress(a account.Address) (string, error) {
	if a == (account.Address{}) {
		return "", nil
	}
	encoded, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encoding a postal address: %w", err)
	}
	return string(encoded), nil
}

func decodeAddress(encoded string) (a account.Address, err error) {
	if encoded == "" {
		return account.Address{}, nil
	}
	if err := json.Unmarshal([]byte(encoded), &a); err != nil {
		return account.Address{}, fmt.Errorf("decoding a postal address: %w", err)
	}
	return a, nil
}
