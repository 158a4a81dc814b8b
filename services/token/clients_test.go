package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

const root = "root@realguardio.example"

// administered is the service with somebody signed in who administers it.
type administered struct {
	*rpc
	admin tokenv1.AdminServiceClient
	// ctx has the administrator's token.
	ctx context.Context
	id  string
}

func (r *rpc) administered() administered {
	r.t.Helper()
	id := r.user(root, "admin password", "REALGUARDIO_ADMIN")
	console := adminConsole
	console.Scopes = []string{"openid", "admin", "audit.read", "account.read", "account.write"}
	console.AccessTokenLifetime = 24 * time.Hour // tests move the clock
	if _, err := r.EnsureClient(r.t.Context(), console); err != nil {
		r.t.Fatal(err)
	}
	to := r.browser().signIn(asks("console", webCallback, "scope", strings.Join(console.Scopes, " ")), root, "admin password").location(r.t)
	access := r.post("/oauth2/token", "console", webSecret, redeems(r.logs.secret(to.Query().Get("code")), webCallback)).str("access_token")
	return administered{r, tokenv1.NewAdminServiceClient(r.dial("gateway")), meshtest.As(r.t.Context(), access), id}
}

// later moves the clock, and waits until the mesh has heard since then that nothing was revoked: what is sensitive is closed
// as long. The credentials of the tests' own feed last for less than 5 minutes.
func (a administered) later(d time.Duration) {
	a.t.Helper()
	a.clock.Advance(d)
	meshtest.Await(a.t, "the revocation feed is fresh", func() bool {
		_, err := a.admin.DisableClient(a.ctx, &tokenv1.DisableClientRequest{ClientId: "nobody"})
		return status.Code(err) == codes.NotFound
	})
}

// keyset is a JWK Set with a public key.
func keyset(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwk.FromRaw(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	for name, value := range map[string]any{"kid": "one", "alg": "ES256", "use": "sig"} {
		if err := public.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.AddKey(public); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// everything sets every field that can be registered of a client, each to what is not its default.
func everything(t *testing.T) *tokenv1.CreateClientRequest {
	return &tokenv1.CreateClientRequest{
		Name: "Reports", GrantTypes: []string{"authorization_code", "refresh_token"}, RedirectUris: []string{"https://reports.example.com/cb"},
		PostLogoutRedirectUris: []string{"https://reports.example.com/bye"}, Scopes: []string{"openid", "customer.read"}, FirstParty: true,
		AccessTokenLifetime: durationpb.New(time.Minute), RefreshTokenLifetime: durationpb.New(time.Hour), IdTokenLifetime: durationpb.New(2 * time.Minute),
		OpaqueAccessTokens: true, Jwks: keyset(t), IdTokenSigningAlg: "RS256", AccessTokenSigningAlg: "RS256", PkceOptional: true,
		BackchannelLogoutUri: "https://reports.example.com/backchannel", RequirePushedAuthorizationRequests: true, DpopBoundAccessTokens: true,
	}
}

func TestWhatIsRegisteredOfAClientIsKeptWhole(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		asked := everything(t)
		made, err := a.admin.CreateClient(a.ctx, asked)
		if err != nil {
			t.Fatal(err)
		}
		if made.GetClientSecret() != "" {
			t.Error("a client that authenticates by keys has a secret")
		}
		got, err := a.admin.GetClient(a.ctx, &tokenv1.GetClientRequest{ClientId: made.GetClient().GetClientId()})
		if diff := cmp.Diff(made.GetClient(), got.GetClient(), protocmp.Transform()); err != nil || diff != "" {
			t.Error(err, diff)
		}
		// What both messages have under one name is what was asked for.
		fields, in, out := 0, asked.ProtoReflect(), got.GetClient().ProtoReflect()
		in.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			fields++
			if same := out.Descriptor().Fields().ByName(field.Name()); same == nil || !out.Get(same).Equal(value) {
				t.Errorf("%s became %v", field.Name(), out.Get(same))
			}
			return true
		})
		// A client that authenticates by keys does not do so otherwise, nor are its tokens bound twice.
		otherwise := []string{"public", "tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip",
			"tls_client_auth_san_email", "self_signed_tls_client_auth", "tls_client_certificate_bound_access_tokens"}
		if fields != in.Descriptor().Fields().Len()-len(otherwise) {
			t.Errorf("only %d fields were set", fields)
		}
		var secrets int
		if err := a.db.QueryRow(t.Context(), `SELECT count(*) FROM clients WHERE id = $1 AND (secret_hash <> '' OR secret_prefix <> '')`,
			made.GetClient().GetClientId()).Scan(&secrets); err != nil || secrets != 0 {
			t.Errorf("%d, %v", secrets, err)
		}
	})
}

// plainClient registers a client with a secret and returns its id and the secret.
func (a administered) plainClient() (id, secret string) {
	a.t.Helper()
	made, err := a.admin.CreateClient(a.ctx, &tokenv1.CreateClientRequest{Name: "Reports", GrantTypes: []string{"client_credentials"}, Scopes: []string{"customer.read"}})
	if err != nil {
		a.t.Fatal(err)
	}
	return made.GetClient().GetClientId(), a.logs.secret(made.GetClientSecret())
}

func (a administered) client(id string) *tokenv1.Client {
	a.t.Helper()
	got, err := a.admin.GetClient(a.ctx, &tokenv1.GetClientRequest{ClientId: id})
	if err != nil {
		a.t.Fatal(err)
	}
	return got.GetClient()
}

func TestUpdatingAClientChangesWhatTheMaskNames(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		id, secret := a.plainClient()
		whole := &tokenv1.Client{ClientId: id, Name: "Other", Scopes: []string{"securitysystem.read"}, OpaqueAccessTokens: true}
		for _, test := range []struct {
			name   string
			client *tokenv1.Client
			mask   []string
			want   func(*tokenv1.Client)
		}{
			{"one field", whole, []string{"name"}, func(c *tokenv1.Client) { c.Name = "Other" }},
			{"two, one of them twice", whole, []string{"scopes", "opaque_access_tokens", "scopes"},
				func(c *tokenv1.Client) { c.Scopes, c.OpaqueAccessTokens = []string{"securitysystem.read"}, true }},
			{"back to the default", whole, []string{"access_token_lifetime", "client_id"}, func(c *tokenv1.Client) { c.AccessTokenLifetime = durationpb.New(5 * time.Minute) }},
			{"what is set, where no mask says", &tokenv1.Client{ClientId: id, Name: "Third"}, nil, func(c *tokenv1.Client) { c.Name = "Third" }},
		} {
			t.Run(test.name, func(t *testing.T) {
				want := a.client(id)
				test.want(want)
				got, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: test.client, UpdateMask: &fieldmaskpb.FieldMask{Paths: test.mask}})
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range []*tokenv1.Client{got.GetClient(), a.client(id)} {
					if diff := cmp.Diff(want, c, protocmp.Transform()); diff != "" {
						t.Error(diff)
					}
				}
			})
		}
		if got := a.machine(id, secret); got.status != http.StatusOK {
			t.Errorf("the secret is another: %d", got.status)
		}
	})
}

func TestWhatIsNoRegistrationChangesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		id, _ := a.plainClient()
		ended, _ := a.plainClient()
		if _, err := a.admin.DisableClient(a.ctx, &tokenv1.DisableClientRequest{ClientId: ended}); err != nil {
			t.Fatal(err)
		}
		before, endedBefore := a.client(id), a.client(ended)
		many := make([]string, 17)
		for i := range many {
			many[i] = "https://a.example/" + strings.Repeat("x", i)
		}
		for _, test := range []struct {
			name   string
			client *tokenv1.Client
			mask   []string
			want   codes.Code
			field  string
		}{
			{"a field that there is not", &tokenv1.Client{ClientId: id}, []string{"secret_hash"}, codes.InvalidArgument, "updateMask"},
			{"everything", &tokenv1.Client{ClientId: id}, []string{"*"}, codes.InvalidArgument, "updateMask"},
			{"what is not registered", &tokenv1.Client{ClientId: id}, []string{"disabled"}, codes.InvalidArgument, "updateMask"},
			{"when it was created", &tokenv1.Client{ClientId: id}, []string{"name", "create_time"}, codes.InvalidArgument, "updateMask"},
			{"nothing", &tokenv1.Client{ClientId: id}, nil, codes.InvalidArgument, "updateMask"},
			{"no name", &tokenv1.Client{ClientId: id}, []string{"name"}, codes.InvalidArgument, "name"},
			{"no grant", &tokenv1.Client{ClientId: id}, []string{"grant_types"}, codes.InvalidArgument, "grantTypes"},
			{"a scope that there is not", &tokenv1.Client{ClientId: id, Scopes: []string{"nonsense"}}, nil, codes.InvalidArgument, "scopes"},
			{"a script for an address", &tokenv1.Client{ClientId: id, RedirectUris: []string{"javascript:alert(1)"}}, nil, codes.InvalidArgument, "redirectUris"},
			{"too many addresses", &tokenv1.Client{ClientId: id, RedirectUris: many}, nil, codes.InvalidArgument, "redirectUris"},
			{"an address that is too long", &tokenv1.Client{ClientId: id, PostLogoutRedirectUris: []string{"https://a.example/" + strings.Repeat("x", 2000)}}, nil, codes.InvalidArgument, "postLogoutRedirectUris"},
			{"a client that cannot authenticate with a grant for which it must", &tokenv1.Client{ClientId: id, Public: true}, nil, codes.InvalidArgument, "grantTypes"},
			{"tokens that hardly live", &tokenv1.Client{ClientId: id, AccessTokenLifetime: durationpb.New(time.Second)}, nil, codes.InvalidArgument, "accessTokenLifetime"},
			{"tokens that live too long", &tokenv1.Client{ClientId: id, AccessTokenLifetime: durationpb.New(48 * time.Hour)}, nil, codes.InvalidArgument, "accessTokenLifetime"},
			{"nobody", &tokenv1.Client{Name: "x"}, nil, codes.NotFound, ""},
			{"a NUL", &tokenv1.Client{ClientId: id + "\x00", Name: "x"}, nil, codes.NotFound, ""},
			{"a part of the mesh", &tokenv1.Client{ClientId: "customer", Name: "x"}, nil, codes.NotFound, ""},
			{"one that is disabled", &tokenv1.Client{ClientId: ended, Name: "x"}, nil, codes.FailedPrecondition, ""},
		} {
			t.Run(test.name, func(t *testing.T) {
				_, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: test.client, UpdateMask: &fieldmaskpb.FieldMask{Paths: test.mask}})
				if status.Code(err) != test.want || !strings.Contains(err.Error(), test.field) {
					t.Errorf("%v", err)
				}
			})
		}
		for _, other := range []string{"customer", "app_none", "a\x00"} {
			if _, err := a.admin.GetClient(a.ctx, &tokenv1.GetClientRequest{ClientId: other}); status.Code(err) != codes.NotFound {
				t.Errorf("getting %q: %v", other, err)
			}
			if _, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: other}); status.Code(err) != codes.NotFound {
				t.Errorf("rotating the secret of %q: %v", other, err)
			}
		}
		alice := meshtest.As(t.Context(), a.tokens().str("access_token"))
		for name, err := range map[string]error{
			"get":    second(a.admin.GetClient(alice, &tokenv1.GetClientRequest{ClientId: id})),
			"update": second(a.admin.UpdateClient(alice, &tokenv1.UpdateClientRequest{Client: &tokenv1.Client{ClientId: id, Name: "x"}})),
			"rotate": second(a.admin.RotateClientSecret(alice, &tokenv1.RotateClientSecretRequest{ClientId: id})),
		} {
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s by a person who is no admin: %v", name, err)
			}
		}
		if !proto.Equal(a.client(id), before) || !proto.Equal(a.client(ended), endedBefore) {
			t.Errorf("changed to %v", a.client(id))
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestNarrowingAClientHoldsAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		update := func(c *tokenv1.Client) {
			t.Helper()
			c.ClientId = "web"
			if _, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: c}); err != nil {
				t.Fatal(err)
			}
		}
		refreshToken := a.tokens().str("refresh_token")
		update(&tokenv1.Client{Scopes: []string{"openid", "profile"}})
		renewed := a.refresh(refreshToken)
		if renewed.status != http.StatusOK || renewed.str("scope") != "openid profile" {
			t.Errorf("%d %s", renewed.status, renewed.body)
		}
		if to := a.browser().open(asks("web", webCallback)).location(t); to.Query().Get("error") != "invalid_scope" {
			t.Errorf("an authorization request with the scopes of before: %s", to)
		}
		update(&tokenv1.Client{RedirectUris: []string{"https://app.example.com/other"}})
		if page := a.browser().open(asks("web", webCallback, "scope", "openid")); page.status != http.StatusBadRequest || page.header.Get("Location") != "" {
			t.Errorf("an address that was taken away: %d", page.status)
		}
		update(&tokenv1.Client{GrantTypes: []string{"authorization_code"}})
		refused(t, a.refresh(renewed.str("refresh_token")), http.StatusBadRequest, "unauthorized_client")
	})
}

// TestDisablingAClientEndsWhatItHas: its tokens at every verifier, and no other client's.
func TestDisablingAClientEndsWhatItHas(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		b := a.browser()
		tokens := a.post("/oauth2/token", "web", webSecret, redeems(b.code(asks("web", webCallback)), webCallback))
		other := a.post("/oauth2/token", "trusted", trustedSecret,
			url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}, "scope": {"openid"}})
		me := tokenv1.NewAccountServiceClient(a.dial("customer"))
		for what, access := range map[string]string{"its token": tokens.str("access_token"), "another client's": other.str("access_token")} {
			if _, err := me.GetMe(meshtest.As(t.Context(), access), &tokenv1.GetMeRequest{}); status.Code(err) == codes.Unauthenticated || !a.accepted(access) {
				t.Fatalf("%s is not accepted to begin with: %v", what, err)
			}
		}
		if _, err := a.admin.DisableClient(a.ctx, &tokenv1.DisableClientRequest{ClientId: "web"}); err != nil {
			t.Fatal(err)
		}
		a.ends(t, tokens.str("access_token"))
		if a.accepted(tokens.str("access_token")) {
			t.Error("UserInfo accepts its token")
		}
		refused(t, a.refresh(tokens.str("refresh_token")), 401, "invalid_client")
		if page := b.open(asks("web", webCallback)); page.status != http.StatusBadRequest || page.header.Get("Location") != "" {
			t.Errorf("an authorization request: %d to %q", page.status, page.header.Get("Location"))
		}
		if _, err := me.GetMe(meshtest.As(t.Context(), other.str("access_token")), &tokenv1.GetMeRequest{}); status.Code(err) == codes.Unauthenticated || !a.accepted(other.str("access_token")) {
			t.Errorf("another client's token: %v", err)
		}
		if r := a.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice}, "password": {alicePassword}}); r.status != http.StatusOK {
			t.Errorf("another client: %d %s", r.status, r.body)
		}
	})
}

func TestHowAClientAuthenticatesCanBeChanged(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		update := func(c *tokenv1.Client, mask ...string) {
			t.Helper()
			c.ClientId = "web"
			if _, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: c, UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}}); err != nil {
				t.Fatal(err)
			}
		}
		refreshToken := a.tokens().str("refresh_token")
		refresh := func(secret string) reply {
			t.Helper()
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
			if secret == "" {
				form.Set("client_id", "web")
				return a.post("/oauth2/token", "", "", form)
			}
			return a.post("/oauth2/token", "web", secret, form)
		}
		renewed := func(secret string) {
			t.Helper()
			r := refresh(secret)
			if r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			refreshToken = r.str("refresh_token")
		}
		update(&tokenv1.Client{Public: true}, "public")
		refused(t, refresh(webSecret), http.StatusUnauthorized, "invalid_client")
		renewed("")
		if _, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: "web"}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("the secret of a public client: %v", err)
		}
		if _, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: &tokenv1.Client{ClientId: "web", Jwks: keyset(t)}}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("keys of a public client: %v", err)
		}
		update(&tokenv1.Client{Jwks: keyset(t)}, "public", "jwks")
		for _, secret := range []string{"", webSecret} {
			refused(t, refresh(secret), http.StatusUnauthorized, "invalid_client")
		}
		update(&tokenv1.Client{}, "jwks")
		for _, secret := range []string{"", webSecret} {
			refused(t, refresh(secret), http.StatusUnauthorized, "invalid_client")
		}
		rotated, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: "web"})
		if err != nil {
			t.Fatal(err)
		}
		renewed(a.logs.secret(rotated.GetClientSecret()))
	})
}

func TestTheSecretOfAClientIsRotatedWithOverlap(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		id, first := a.plainClient()
		rotate := func(overlap time.Duration) string {
			t.Helper()
			rotated, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: id, Overlap: durationpb.New(overlap)})
			if err != nil {
				t.Fatal(err)
			}
			until := rotated.GetClient().GetPreviousSecretExpireTime()
			if (until != nil) != (overlap > 0) || overlap > 0 && until.AsTime().Sub(a.clock.Now()).Round(time.Second) != overlap {
				t.Errorf("the one before ends at %v", until)
			}
			return a.logs.secret(rotated.GetClientSecret())
		}
		works := func(secret string, want bool) {
			t.Helper()
			if got := a.machine(id, secret); want && got.status != http.StatusOK {
				t.Errorf("refused: %d %s", got.status, got.body)
			} else if !want {
				refused(t, got, http.StatusUnauthorized, "invalid_client")
			}
		}
		second := rotate(time.Minute)
		works(first, true)
		works(second, true)
		a.later(time.Minute)
		works(first, false)
		works(second, true)
		third := rotate(0)
		works(second, false)
		works(third, true)
		fourth := rotate(time.Minute)
		fifth := rotate(time.Minute)
		works(third, false)
		works(fourth, true)
		works(fifth, true)
		if _, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: id, Overlap: durationpb.New(31 * 24 * time.Hour)}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("an overlap of a month: %v", err)
		}
		if _, err := a.admin.DisableClient(a.ctx, &tokenv1.DisableClientRequest{ClientId: id}); err != nil {
			t.Fatal(err)
		}
		works(fifth, false)
		works(fourth, false)
		if _, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: id}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("the secret of a client that was disabled: %v", err)
		}
	})
}

func TestOfRotationsAtOnceEachThatSucceedsLeavesASecretThatWorks(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		id, first := a.plainClient()
		var mu sync.Mutex
		var secrets []string
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() {
				rotated, err := a.admin.RotateClientSecret(a.ctx, &tokenv1.RotateClientSecretRequest{ClientId: id, Overlap: durationpb.New(time.Hour)})
				if status.Code(err) != codes.Aborted && err != nil {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					secrets = append(secrets, a.logs.secret(rotated.GetClientSecret()))
				}
			})
		}
		running.Wait()
		working := slices.DeleteFunc(append([]string{first}, secrets...), func(secret string) bool { return a.machine(id, secret).status != http.StatusOK })
		if len(secrets) == 0 || len(working) != 2 || len(secrets) == 1 && working[0] != first {
			t.Errorf("%d rotations, %d secrets that work", len(secrets), len(working))
		}
	})
}

func TestDeprecatedGrantsAreLogged(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		a := start(t, st).serveRPC().administered()
		id, _ := a.plainClient()
		if a.logs.contains(`deprecated (RFC 9700, section 2.4)","client_id":"` + id) {
			t.Fatal("warned before")
		}
		_, err := a.admin.UpdateClient(a.ctx, &tokenv1.UpdateClientRequest{Client: &tokenv1.Client{ClientId: id, GrantTypes: []string{"client_credentials", "password"}}})
		if err != nil {
			t.Fatal(err)
		}
		if !a.logs.contains(`deprecated (RFC 9700, section 2.4)","client_id":"` + id) {
			t.Error("not warned")
		}
	})
}
