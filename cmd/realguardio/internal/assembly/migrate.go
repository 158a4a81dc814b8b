package assembly

import (
	"context"
	"fmt"
	"slices"

	"github.com/realguardio/realguardio/services/customer"
	"github.com/realguardio/realguardio/services/database"
	"github.com/realguardio/realguardio/services/notification"
	"github.com/realguardio/realguardio/services/securitysystem"
	"github.com/realguardio/realguardio/services/token"
)

// migrations bring the database of a part up to date. The gateway has none.
var migrations = map[string]func(context.Context, *database.DB) error{
	Token: token.Migrate, Customer: customer.Migrate, SecuritySystem: securitysystem.Migrate, Notification: notification.Migrate,
}

// Migratable lists the parts that have a database.
func Migratable() []string {
	return slices.DeleteFunc(slices.Clone(Names), func(part string) bool { return migrations[part] == nil })
}

// Migrate brings the database of a part up to date.
func Migrate(ctx context.Context, part, url string) error {
	db, err := database.Open(ctx, url)
	if err != nil {
		return fmt.Errorf("cannot reach the database of %s: %w", part, err)
	}
	defer db.Close()
	if err := migrations[part](ctx, db); err != nil {
		return fmt.Errorf("cannot prepare the database of %s: %w", part, err)
	}
	return nil
}
