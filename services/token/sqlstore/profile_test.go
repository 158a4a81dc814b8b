package sqlstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/revocation"
	"github.com/realguardio/realguardio/services/token/sqlstore"
)

func TestAProfileIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		ctx, now := t.Context(), time.UnixMicro(1_700_000_000_000_000).UTC()
		if err := sqlstore.Migrate(ctx, db); err != nil {
			t.Fatal(err)
		}
		store := sqlstore.New(db, func(revocation.Kind) {})
		if _, _, err := store.EnsureUser(ctx, account.User{ID: "usr_1", Email: "alice@acme.example", Name: "Alice", Created: now}, false, account.Post{}); err != nil {
			t.Fatal(err)
		}
		profile := account.Profile{GivenName: "Alice", FamilyName: "Liddell", Locale: "en-GB", Zoneinfo: "Europe/London",
			PhoneNumber: "+441865276492", Address: account.Address{Locality: "Oxford", Country: "United Kingdom"}}
		later := now.Add(time.Hour)
		if _, err := store.SetProfile(ctx, "usr_1", func(u *account.User) { u.Name, u.Profile, u.Email = "Alice Liddell", profile, "x@x" }, later); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(ctx, `UPDATE users SET phone_number_verified = TRUE`); err != nil {
			t.Fatal(err)
		}
		profile.PhoneNumberVerified = true
		if u, err := store.User(ctx, "usr_1"); err != nil || u.Name != "Alice Liddell" || u.Profile != profile || u.Email != "alice@acme.example" || !u.Updated.Equal(later) {
			t.Errorf("%+v, %v", u, err)
		}
		changed, err := store.SetProfile(ctx, "usr_1", func(u *account.User) { u.PhoneNumber = "+14155550123" }, later)
		stored, _ := store.User(ctx, "usr_1")
		if err != nil || stored.PhoneNumber != "+14155550123" || stored.PhoneNumberVerified || stored.FamilyName != "Liddell" || changed.Profile != stored.Profile {
			t.Errorf("another phone number: %+v, %v; stored %+v", changed, err, stored)
		}
		if _, err := store.SetProfile(ctx, "usr_2", func(*account.User) {}, later); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
	})
}
