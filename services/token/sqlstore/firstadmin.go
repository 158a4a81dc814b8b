package sqlstore

import (
	"context"
	"strings"

	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/account"
)

// noAdmin is true while no enabled account has the role of an admin.
const noAdmin = `NOT EXISTS (SELECT 1 FROM users AS admins WHERE NOT admins.disabled
	AND ' ' || admins.roles || ' ' LIKE '% REALGUARDIO\_ADMIN %' ESCAPE '\')`

// EnsureFirstAdmin stores u, an admin, or makes the account that has its address one, unless there is an admin: one statement
// decides each. It returns the oldest admin that there is then, and which of the two it did.
func (s *Store) EnsureFirstAdmin(ctx context.Context, u account.User) (stored account.User, made, promoted bool, err error) {
	err = s.changing(ctx, "storing the first admin", func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO users (id, email, email_key, email_verified, name, roles, password_hash, demo_password,
				epoch, disabled, created_at, updated_at)
			SELECT $1, $2, $3, TRUE, $4, $5, $6, FALSE, 0, FALSE, CAST($7 AS BIGINT), CAST($7 AS BIGINT) WHERE `+noAdmin+`
			ON CONFLICT (email_key) DO NOTHING`,
			u.ID, u.Email, account.EmailKey(u.Email), u.Name, join(u.Roles), u.PasswordHash, sqldb.Micros(u.Created))
		if err != nil {
			return err
		}
		made, promoted = n == 1, false
		if !made {
			n, err := tx.Exec(ctx, `UPDATE users SET roles = trim(roles || ' ' || $2), updated_at = $3
				WHERE email_key = $1 AND NOT disabled AND `+noAdmin, account.EmailKey(u.Email), account.AdminRole, sqldb.Micros(u.Created))
			if err != nil {
				return err
			}
			promoted = n == 1
		}
		pattern := "% " + strings.ReplaceAll(account.AdminRole, "_", `\_`) + " %"
		stored, err = scanUser(tx.QueryRow(ctx, `SELECT `+userColumns+` FROM users
			WHERE NOT disabled AND ' ' || roles || ' ' LIKE $1 ESCAPE '\' ORDER BY created_at, id LIMIT 1`, pattern))
		if err != nil || !made && !promoted {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Time: u.Created, Action: "user.first_admin", Target: stored.ID})
	})
	return stored, made, promoted, err
}
