package token_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
)

const (
	bossEmail    = "root@realguardio.example"
	bossPassword = "a long admin password"
)

// boss is a platform admin at the RPCs, and others there in their own name.
type boss struct {
	*rpc
	admin tokenv1.AdminServiceClient
	self  tokenv1.AccountServiceClient
}

var accountPage = token.ClientSpec{ID: "account", Name: "Account page", Secret: webSecret, Grants: codeGrants, RedirectURIs: []string{webCallback},
	Scopes: []string{"openid", "account.read", "account.write", "admin"}, FirstParty: true}

// boss serves the RPCs and makes a platform admin.
func (s *server) boss() *boss {
	s.t.Helper()
	if _, err := s.EnsureClient(s.t.Context(), accountPage); err != nil {
		s.t.Fatal(err)
	}
	s.user(bossEmail, bossPassword, "REALGUARDIO_ADMIN")
	r := s.serveRPC()
	conn := r.dial("customer")
	return &boss{r, tokenv1.NewAdminServiceClient(conn), tokenv1.NewAccountServiceClient(conn)}
}

// open signs somebody in at the account page and returns the tokens and the browser.
func (b *boss) open(who, secret string) (reply, *browser) {
	b.t.Helper()
	at := b.browser()
	to := at.signIn(asks("account", webCallback, "scope", "openid account.read account.write admin"), who, secret).location(b.t)
	tokens := b.post("/oauth2/token", "account", webSecret, redeems(b.logs.secret(to.Query().Get("code")), webCallback))
	if tokens.status != http.StatusOK {
		b.t.Fatalf("%s: %d %s", who, tokens.status, tokens.body)
	}
	return tokens, at
}

// call puts a token of somebody on a call.
func (b *boss) call(ctx context.Context, who, secret string) context.Context {
	b.t.Helper()
	tokens, _ := b.open(who, secret)
	return meshtest.As(ctx, tokens.str("access_token"))
}

func (b *boss) root(ctx context.Context) context.Context { return b.call(ctx, bossEmail, bossPassword) }

func (b *boss) disable(t *testing.T, id string) {
	t.Helper()
	if got, err := b.admin.DisableUser(b.root(t.Context()), &tokenv1.DisableUserRequest{UserId: id}); err != nil || !got.GetUser().GetDisabled() {
		t.Fatalf("%v, %v", got, err)
	}
}

func (b *boss) enable(t *testing.T, id string) {
	t.Helper()
	if got, err := b.admin.EnableUser(b.root(t.Context()), &tokenv1.EnableUserRequest{UserId: id}); err != nil || got.GetUser().GetDisabled() {
		t.Fatalf("%v, %v", got, err)
	}
}

func (b *boss) moves(t *testing.T, id, email string) {
	t.Helper()
	got, err := b.admin.UpdateUser(b.root(t.Context()), &tokenv1.UpdateUserRequest{UserId: id, Email: &email})
	if err != nil || got.GetUser().GetEmail() != email || got.GetUser().GetEmailVerified() {
		t.Fatalf("%v, %v", got, err)
	}
}

func (b *boss) changePassword(t *testing.T, from, to string) {
	t.Helper()
	if _, err := b.self.ChangePassword(b.call(t.Context(), alice, from), &tokenv1.ChangePasswordRequest{CurrentPassword: from, NewPassword: b.logs.secret(to)}); err != nil {
		t.Fatal(err)
	}
}

// refuses demands a status, and a reason unless it is empty.
func refuses(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if status.Code(err) != code || reason != "" && mesh.Reason(err) != reason && !strings.Contains(err.Error(), reason) {
		t.Errorf("got %v (%s), want %s %s", err, mesh.Reason(err), code, reason)
	}
}
