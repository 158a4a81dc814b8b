package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
)

// world is a running token service with those who change what it keeps: a person, who is an admin, signed in with a
// browser, and the part that keeps customers.
type world struct {
	*issuers
	person       *http.Client
	admin        tokenv1.AdminServiceClient
	self         tokenv1.AccountServiceClient
	adminToken   string
	machineToken string
}

func newWorld(t *testing.T, s *issuers) *world {
	t.Helper()
	at := s.each[0]
	conn := s.dial(t, at, "customer")
	w := &world{issuers: s, person: s.browser(), admin: tokenv1.NewAdminServiceClient(conn), self: tokenv1.NewAccountServiceClient(conn)}
	w.adminToken = s.token(t, at, redeems(s.code(t, w.person, at))).str("access_token")
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"customer"}, "client_secret": {s.secrets["customer"]}}
	var got struct {
		Token string `json:"access_token"`
	}
	post(t, s.http, at.url+"/oauth2/token", form).decode(t, &got)
	w.machineToken = got.Token
	return w
}

// asAdmin and asPart put a token on gRPC calls.
func (w *world) asAdmin(ctx context.Context) context.Context { return withToken(ctx, w.adminToken) }
func (w *world) asPart(ctx context.Context) context.Context  { return withToken(ctx, w.machineToken) }

// gone tells whether err is that the process was killed, or that the test has ended.
func gone(err error) bool {
	_, transport := errors.AsType[*url.Error](err)
	_, network := errors.AsType[*net.OpError](err)
	code := status.Code(err)
	return transport || network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || code == codes.Unavailable || code == codes.Canceled
}

// changes are the kinds of change. Each makes one or several, one after the other, and returns what was acknowledged of
// what it leaves behind: when the process is killed in the middle nothing is promised of the change that was under way.
var changes = []func(context.Context, *world, *rand.Rand) ([]promise, error){
	provisionUser, registerClient, createKey, grantAndRenew, signOut, consentOnce, rotateSigningKey,
}

func provisionUser(ctx context.Context, w *world, random *rand.Rand) ([]promise, error) {
	email := fmt.Sprintf("u%x@example.com", random.Uint64())
	ask := &tokenv1.ProvisionUserRequest{Email: email, Name: "Somebody"}
	made, err := w.admin.ProvisionUser(w.asPart(ctx), ask)
	if err != nil {
		return nil, err
	}
	id := made.GetUser().GetId()
	account := promise{"an account", func(ctx context.Context, w *world) error {
		again, err := w.admin.ProvisionUser(w.asPart(ctx), ask)
		if err == nil && again.GetUser().GetId() != id {
			err = fmt.Errorf("the account %s became %s", id, again.GetUser().GetId())
		}
		return err
	}}
	switch random.IntN(3) {
	case 0:
		if _, err := w.admin.DisableUser(w.asAdmin(ctx), &tokenv1.DisableUserRequest{UserId: id}); err != nil {
			return []promise{account}, err
		}
		return []promise{account, w.user("disabling an account", id, func(u *tokenv1.User) bool { return u.GetDisabled() })}, nil
	case 1:
		roles := []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"}
		if _, err := w.admin.SetUserRoles(w.asAdmin(ctx), &tokenv1.SetUserRolesRequest{UserId: id, Roles: roles}); err != nil {
			return []promise{account}, err
		}
		return []promise{account, w.user("giving a role", id, func(u *tokenv1.User) bool { return slices.Equal(u.GetRoles(), roles) })}, nil
	}
	return []promise{account}, nil
}

func (*world) user(what, id string, is func(*tokenv1.User) bool) promise {
	return promise{what, func(ctx context.Context, w *world) error {
		got, err := w.admin.GetUser(w.asAdmin(ctx), &tokenv1.GetUserRequest{UserId: id})
		if err == nil && !is(got.GetUser()) {
			err = fmt.Errorf("the account is %v", got.GetUser())
		}
		return err
	}}
}

// rotateSigningKey is refused where the next key has not been published for long enough, as it is after every rotation.
func rotateSigningKey(ctx context.Context, w *world, random *rand.Rand) ([]promise, error) {
	if random.IntN(8) > 0 {
		return nil, nil
	}
	rotated, err := w.admin.RotateSigningKeys(w.asAdmin(ctx), &tokenv1.RotateSigningKeysRequest{Algs: []string{"ES256"}})
	if status.Code(err) == codes.FailedPrecondition {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids := func(list []*tokenv1.SigningKey) (all []string) {
		for _, k := range list {
			all = append(all, k.GetId())
		}
		return all
	}
	made := ids(rotated.GetKeys())
	return []promise{{"a signing key", func(ctx context.Context, w *world) error {
		listed, err := w.admin.ListSigningKeys(w.asAdmin(ctx), &tokenv1.ListSigningKeysRequest{})
		for _, id := range made {
			if err == nil && !slices.Contains(ids(listed.GetKeys()), id) {
				err = fmt.Errorf("the key %s is gone", id)
			}
		}
		return err
	}}}, nil
}

// machine asks for a client's own token and demands a status.
func (w *world) machine(ctx context.Context, id, secret string, want int) (reply, error) {
	r, err := w.post(ctx, w.each[0], "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, basic(id, secret))
	if err == nil {
		err = answered("client credentials", r, want)
	}
	return r, err
}

func registerClient(ctx context.Context, w *world, random *rand.Rand) ([]promise, error) {
	made, err := w.admin.CreateClient(w.asAdmin(ctx), &tokenv1.CreateClientRequest{
		Name: "Made", GrantTypes: []string{"client_credentials"}, Scopes: []string{"customer.read"}})
	if err != nil {
		return nil, err
	}
	id, secret := made.GetClient().GetClientId(), made.GetClientSecret()
	switch random.IntN(3) {
	case 0:
		rotated, err := w.admin.RotateClientSecret(w.asAdmin(ctx), &tokenv1.RotateClientSecretRequest{ClientId: id})
		if err != nil {
			return nil, err
		}
		secret = rotated.GetClientSecret()
		fallthrough
	case 1:
		return []promise{{"a client", func(ctx context.Context, w *world) error {
			_, err := w.machine(ctx, id, secret, http.StatusOK)
			return err
		}}}, nil
	}
	if _, err := w.admin.DisableClient(w.asAdmin(ctx), &tokenv1.DisableClientRequest{ClientId: id}); err != nil {
		return nil, err
	}
	return []promise{{"disabling a client", func(ctx context.Context, w *world) error {
		_, err := w.machine(ctx, id, secret, http.StatusUnauthorized)
		return err
	}}}, nil
}

func createKey(ctx context.Context, w *world, random *rand.Rand) ([]promise, error) {
	made, err := w.admin.CreateApiKey(w.asPart(ctx), &tokenv1.CreateApiKeyRequest{Owner: "cus_1", Name: "Script", Scopes: []string{"customer.read"}})
	if err != nil {
		return nil, err
	}
	id, secret := made.GetApiKey().GetId(), made.GetSecret()
	if _, err := w.machine(ctx, id, secret, http.StatusOK); err != nil || random.IntN(2) == 0 {
		return []promise{{"an API key", func(ctx context.Context, w *world) error {
			_, err := w.machine(ctx, id, secret, http.StatusOK)
			return err
		}}}, err
	}
	if _, err := w.admin.RevokeApiKey(w.asPart(ctx), &tokenv1.RevokeApiKeyRequest{Owner: "cus_1", Id: id}); err != nil {
		return nil, err
	}
	return []promise{{"revoking an API key", func(ctx context.Context, w *world) error {
		_, err := w.machine(ctx, id, secret, http.StatusUnauthorized)
		return err
	}}}, nil
}

// family is a grant with the newest tokens that were acknowledged.
type family struct {
	access, refresh, id string
	// tried is when a renewal was sent last: its successor may have been lost on the way, and is asked for again.
	tried time.Time
}

func (f *family) take(r reply) {
	f.access, f.refresh, f.id = r.str("access_token"), r.str("refresh_token"), r.str("id_token")
}

func (f *family) renew(ctx context.Context, w *world) error {
	f.tried = time.Now()
	r, err := w.post(ctx, w.each[0], "/oauth2/token", renews(f.refresh))
	if err == nil {
		err = answered("renewing", r, http.StatusOK)
	}
	if err == nil {
		f.take(r)
	}
	return err
}

// lives promises that the newest tokens work. lost says that a renewal may have been made of which nobody heard.
func (f *family) lives(lost bool) promise {
	return promise{"a grant", func(ctx context.Context, w *world) error {
		if lost && time.Since(f.tried) > 9*time.Second {
			return nil // a client that comes back later than that is taken for a thief, as it should
		}
		lost = false
		if time.Since(f.tried) < time.Minute {
			if err := w.userinfo(ctx, f.access, http.StatusOK); err != nil {
				return err
			}
		}
		return f.renew(ctx, w)
	}}
}

func (f *family) over(what string) promise {
	return promise{what, func(ctx context.Context, w *world) error {
		r, err := w.post(ctx, w.each[0], "/oauth2/token", renews(f.refresh))
		if err == nil {
			err = answered("renewing", r, http.StatusBadRequest)
		}
		return errors.Join(err, w.userinfo(ctx, f.access, http.StatusUnauthorized))
	}}
}

// begin gives the application a grant.
func (w *world) begin(ctx context.Context, browser *http.Client) (*family, error) {
	code, err := w.authorize(ctx, browser, w.each[0], authorizes())
	if err != nil {
		return nil, err
	}
	r, err := w.post(ctx, w.each[0], "/oauth2/token", redeems(code))
	if err == nil {
		err = answered("redeeming", r, http.StatusOK)
	}
	f := &family{tried: time.Now()}
	f.take(r)
	return f, err
}

func grantAndRenew(ctx context.Context, w *world, random *rand.Rand) ([]promise, error) {
	f, err := w.begin(ctx, w.person)
	if err != nil {
		return nil, err
	}
	for range random.IntN(4) {
		if err := f.renew(ctx, w); err != nil {
			return []promise{f.lives(true)}, err
		}
	}
	token, what := f.refresh, "revoking a refresh token"
	switch random.IntN(3) {
	case 0:
		return []promise{f.lives(false)}, nil
	case 1:
		token, what = f.access, "revoking an access token"
	}
	r, err := w.post(ctx, w.each[0], "/oauth2/revoke", url.Values{"token": {token}})
	if err != nil {
		return nil, err
	}
	if token == f.access {
		access := f.access
		return []promise{{what, func(ctx context.Context, w *world) error { return w.userinfo(ctx, access, http.StatusUnauthorized) }}}, answered(what, r, http.StatusOK)
	}
	return []promise{f.over(what)}, answered(what, r, http.StatusOK)
}

// signOut ends a login session of its own, with what it had given.
func signOut(ctx context.Context, w *world, _ *rand.Rand) ([]promise, error) {
	browser := w.browser()
	f, err := w.begin(ctx, browser)
	if err != nil {
		return nil, err
	}
	a, err := try(ctx, browser, http.MethodGet, w.each[0].url+"/oauth2/logout?id_token_hint="+f.id, nil)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("signing out: %d %s", a.status, a.body)
	}
	if err != nil {
		return nil, err
	}
	return []promise{f.over("signing out")}, nil
}

// consentOnce registers an application of somebody else's and has the person agree to it, and perhaps think better of it.
func consentOnce(ctx context.Context, w *world, random *rand.Rand) ([]promise, error) {
	const home = "https://partner.example/cb"
	made, err := w.admin.CreateClient(w.asAdmin(ctx), &tokenv1.CreateClientRequest{Name: "Partner", GrantTypes: []string{"authorization_code"},
		RedirectUris: []string{home}, Scopes: []string{"openid", "profile"}})
	if err != nil {
		return nil, err
	}
	request := asks(made.GetClient().GetClientId(), home, "openid profile")
	if _, err := w.authorize(ctx, w.person, w.each[0], request); err != nil {
		return nil, err
	}
	what, want := "a consent", "code="
	if random.IntN(2) == 0 {
		what, want = "taking a consent back", "error=consent_required"
		if _, err := w.self.RevokeMyConsent(w.asAdmin(ctx), &tokenv1.RevokeMyConsentRequest{ClientId: made.GetClient().GetClientId()}); err != nil {
			return nil, err
		}
	}
	return []promise{{what, func(ctx context.Context, w *world) error {
		a, err := try(ctx, w.person, http.MethodGet, w.each[0].url+request+"&prompt=none", nil)
		if err == nil && !strings.Contains(a.header.Get("Location"), want) {
			err = fmt.Errorf("without a page it leads to %s", a.header.Get("Location"))
		}
		return err
	}}}, nil
}
