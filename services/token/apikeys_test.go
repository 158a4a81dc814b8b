package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// keeper is what the customer service does with API keys.
type keeper struct {
	*rpc
	admin tokenv1.AdminServiceClient
	ctx   context.Context
}

func (r *rpc) keeper() keeper {
	return keeper{r, tokenv1.NewAdminServiceClient(r.dial("customer")), r.as(r.t.Context(), "customer")}
}

// key makes a key of the owner "cus_1".
func (k keeper) key(expires *timestamppb.Timestamp) (*tokenv1.ApiKey, string) {
	k.t.Helper()
	made, err := k.admin.CreateApiKey(k.ctx, &tokenv1.CreateApiKeyRequest{Owner: "cus_1", Name: "Script", Scopes: []string{"securitysystem.read"}, ExpireTime: expires})
	if err != nil {
		k.t.Fatal(err)
	}
	return made.GetApiKey(), k.logs.secret(made.GetSecret())
}

// listed is a key as ListApiKeys shows it.
func (k keeper) listed(id string) *tokenv1.ApiKey {
	k.t.Helper()
	list, err := k.admin.ListApiKeys(k.ctx, &tokenv1.ListApiKeysRequest{Owner: "cus_1"})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, one := range list.GetApiKeys() {
		if one.GetId() == id {
			return one
		}
	}
	k.t.Fatalf("%s is not listed", id)
	return nil
}

func TestAnAPIKeyEndsByItselfAndNothingItGotOutlivesIt(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		k := start(t, st).serveRPC().keeper()
		for name, at := range map[string]*timestamppb.Timestamp{"now": timestamppb.New(k.clock.Now()), "no time": {Nanos: -1}} {
			_, err := k.admin.CreateApiKey(k.ctx, &tokenv1.CreateApiKeyRequest{Owner: "cus_1", Name: name, Scopes: []string{"customer.read"}, ExpireTime: at})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "expireTime") {
				t.Errorf("%s: %v", name, err)
			}
		}
		ends := timestamppb.New(k.clock.Now().Add(6 * time.Minute).Truncate(time.Microsecond))
		key, secret := k.key(ends)
		if !key.GetExpireTime().AsTime().Equal(ends.AsTime()) || !k.listed(key.GetId()).GetExpireTime().AsTime().Equal(ends.AsTime()) {
			t.Errorf("ends at %v, want %v", key.GetExpireTime(), ends)
		}
		if got := k.machine(key.GetId(), secret); got.json["expires_in"] != 300.0 {
			t.Errorf("long before its end: %v", got.body)
		}
		k.clock.Advance(4 * time.Minute)
		got := k.machine(key.GetId(), secret)
		expiry, _ := claimsOf(t, got.str("access_token"))["exp"].(float64)
		if left, _ := got.json["expires_in"].(float64); left > 120 || left < 60 || int64(expiry) > ends.GetSeconds() {
			t.Errorf("shortly before its end: %s, until %v", got.body, expiry)
		}
		k.clock.Advance(2 * time.Minute)
		refused(t, k.machine(key.GetId(), secret), http.StatusUnauthorized, "invalid_client")
	})
}

func TestWhenAnAPIKeyWasLastUsedIsKeptToTheMinute(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		k := s.serveRPC().keeper()
		key, secret := k.key(nil)
		unused, otherSecret := k.key(nil)
		refused(t, k.machine(unused.GetId(), secret), http.StatusUnauthorized, "invalid_client")
		if key.GetLastUseTime() != nil {
			t.Errorf("used before it was: %v", key)
		}
		for range 5 {
			k.machine(key.GetId(), secret)
		}
		used := s.clock.Now()
		stored := func(id string) (at int64) {
			t.Helper()
			if err := s.db.QueryRow(context.Background(), `SELECT last_used_at FROM clients WHERE id = $1`, id).Scan(&at); err != nil {
				t.Fatal(err)
			}
			return at
		}
		meshtest.Await(t, "the use is stored", func() bool { return stored(key.GetId()) > 0 })
		at := k.listed(key.GetId()).GetLastUseTime().AsTime()
		if at.Truncate(time.Minute) != at || at.After(used) || used.Sub(at) > 2*time.Minute {
			t.Errorf("used at %v, shown as %v", used, at)
		}
		if k.listed(unused.GetId()).GetLastUseTime() != nil {
			t.Error("a refusal counts as a use")
		}
		s.clock.Advance(3 * time.Minute)
		k.machine(unused.GetId(), otherSecret)
		s.stop() // what was not stored yet is stored then
		if stored(unused.GetId()) <= stored(key.GetId()) {
			t.Error("the last use before a stop is lost")
		}
	})
}

func TestAnAPIKeyIsRotated(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		k := s.serveRPC().keeper()
		key, first := k.key(nil)
		id := key.GetId()
		rotate := func(owner, id string, overlap time.Duration) (string, error) {
			rotated, err := k.admin.RotateApiKey(k.ctx, &tokenv1.RotateApiKeyRequest{Owner: owner, Id: id, Overlap: durationpb.New(overlap)})
			if err == nil && (rotated.GetApiKey().GetId() != id || !strings.HasPrefix(rotated.GetSecret(), rotated.GetApiKey().GetSecretPrefix())) {
				t.Errorf("%v", rotated)
			}
			return k.logs.secret(rotated.GetSecret()), err
		}
		if len(key.GetSecretPrefix()) != 8 || !strings.HasPrefix(first, key.GetSecretPrefix()) {
			t.Errorf("the prefix %q is not that of the secret", key.GetSecretPrefix())
		}
		for name, other := range map[string]struct{ owner, id string }{
			"of somebody else": {"cus_2", id}, "that is none": {"cus_1", "rgk_none"}, "that is an application": {"", "service"}, "with a NUL": {"cus_1", id + "\x00"},
		} {
			if _, err := rotate(other.owner, other.id, 0); status.Code(err) != codes.NotFound && status.Code(err) != codes.InvalidArgument {
				t.Errorf("a key %s: %v", name, err)
			}
		}
		before := s.machine(id, first).str("access_token")
		second, err := rotate("cus_1", id, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for name, secret := range map[string]string{"the secret before, in the overlap": first, "the new secret": second} {
			if got := s.machine(id, secret); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		if r := s.introspect("gateway", serviceSecret, before); r.json["active"] != true {
			t.Errorf("a rotation with overlap ended a token: %s", r.body)
		}
		third, err := rotate("cus_1", id, 0)
		if err != nil {
			t.Fatal(err)
		}
		k.ends(t, before)
		for name, secret := range map[string]string{"the first": first, "the second": second} {
			t.Run("after a rotation without overlap, "+name, func(t *testing.T) { refused(t, s.machine(id, secret), http.StatusUnauthorized, "invalid_client") })
		}
		after := s.machine(id, third)
		if r := s.introspect("gateway", serviceSecret, after.str("access_token")); r.json["active"] != true {
			t.Errorf("the new secret is exchanged for a token that has ended: %s", r.body)
		}
		if _, err := k.admin.RevokeApiKey(k.ctx, &tokenv1.RevokeApiKeyRequest{Owner: "cus_1", Id: id}); err != nil {
			t.Fatal(err)
		}
		if _, err := rotate("cus_1", id, time.Minute); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a key that was revoked: %v", err)
		}
		refused(t, s.machine(id, third), http.StatusUnauthorized, "invalid_client")
		k.ends(t, after.str("access_token"))
	})
}

func TestSecretsOfAPIKeysAreShownOnceAndStoredNowhere(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		k := s.serveRPC().keeper()
		key, first := k.key(nil)
		rotated, err := k.admin.RotateApiKey(k.ctx, &tokenv1.RotateApiKeyRequest{Owner: "cus_1", Id: key.GetId(), Overlap: durationpb.New(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		second := s.logs.secret(rotated.GetSecret())
		row := map[string]string{}
		for _, column := range []string{"secret_hash", "previous_secret_hash", "secret_prefix", "name", "owner"} {
			var value string
			if err := s.db.QueryRow(t.Context(), `SELECT `+column+` FROM clients WHERE id = $1`, key.GetId()).Scan(&value); err != nil {
				t.Fatal(err)
			}
			row[column] = value
		}
		var entries string
		if err := s.db.QueryRow(t.Context(), `SELECT details FROM audit_entries WHERE target = $1 AND action = 'apikey.rotate'`, key.GetId()).Scan(&entries); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{first, second} {
			for _, shown := range []string{fmt.Sprint(row), entries, k.listed(key.GetId()).String(), rotated.GetApiKey().String()} {
				if strings.Contains(shown, secret) || strings.Contains(shown, secret[8:30]) {
					t.Errorf("there is the secret: %s", shown)
				}
			}
		}
	})
}

func TestOfRotationsOfAKeyAtOnceOneHappens(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		k := s.serveRPC().keeper()
		key, first := k.key(nil)
		errs := make([]error, 6)
		var secrets sync.Map
		var running sync.WaitGroup
		for i := range errs {
			running.Go(func() {
				rotated, err := k.admin.RotateApiKey(k.ctx, &tokenv1.RotateApiKeyRequest{Owner: "cus_1", Id: key.GetId()})
				if errs[i] = err; err == nil {
					secrets.Store(s.logs.secret(rotated.GetSecret()), nil)
				}
			})
		}
		running.Wait()
		working := 0
		secrets.Range(func(secret, _ any) bool {
			if s.machine(key.GetId(), secret.(string)).status == http.StatusOK {
				working++
			}
			return true
		})
		for _, err := range errs {
			if err != nil && status.Code(err) != codes.Aborted {
				t.Error(err)
			}
		}
		if working != 1 {
			t.Errorf("%d secrets work: %v", working, errors.Join(errs...))
		}
		refused(t, s.machine(key.GetId(), first), http.StatusUnauthorized, "invalid_client")
	})
}

func TestTheIssueOfTokensWritesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		written := func() (entries, revocations int64) {
			t.Helper()
			err := s.db.QueryRow(t.Context(), `SELECT audit_head.number, revocation_head.head FROM audit_head, revocation_head`).Scan(&entries, &revocations)
			if err != nil {
				t.Fatal(err)
			}
			return entries, revocations
		}
		entries, revocations := written()
		for range 10 {
			if got := s.machine("service", serviceSecret); got.status != http.StatusOK {
				t.Fatal(got.body)
			}
			refused(t, s.machine("service", "wrong"), http.StatusUnauthorized, "invalid_client")
		}
		if nowEntries, nowRevocations := written(); nowEntries != entries || nowRevocations != revocations {
			t.Errorf("%d entries and %d revocations were written", nowEntries-entries, nowRevocations-revocations)
		}
	})
}
