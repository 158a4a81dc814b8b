package token_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// TestWhatNeedsAFreshSignInSaysSoAndTakesOne walks through RFC 9470: an old sign-in is refused with how recent it must be, also
// by a token that is new; asked for that, the issuer wants the password again although the browser is signed in; the token of
// that sign-in is good.
func TestWhatNeedsAFreshSignInSaysSoAndTakesOne(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		b := start(t, st).boss()
		asked := func(access string) error {
			_, err := b.admin.RevokeSigningKey(meshtest.As(t.Context(), access), &tokenv1.RevokeSigningKeyRequest{KeyId: "no-such-key"})
			return err
		}
		signedIn, browser := b.open(bossEmail, bossPassword)
		refuses(t, asked(signedIn.str("access_token")), codes.NotFound, "")

		b.clock.Advance(16 * time.Minute)
		meshtest.Await(t, "revocations are current again", func() bool { return !b.set.Stale() })
		renewed := b.post("/oauth2/token", "account", webSecret,
			url.Values{"grant_type": {"refresh_token"}, "refresh_token": {signedIn.str("refresh_token")}})
		if renewed.status != http.StatusOK {
			t.Fatalf("%d %s", renewed.status, renewed.body)
		}
		err := asked(renewed.str("access_token"))
		refuses(t, err, codes.Unauthenticated, mesh.ReasonStepUp)
		if got := maxAgeOf(err); got != "900" {
			t.Errorf("max_age is %q", got)
		}
		if _, err := b.admin.ListSigningKeys(meshtest.As(t.Context(), renewed.str("access_token")), &tokenv1.ListSigningKeysRequest{}); err != nil {
			t.Errorf("what needs no fresh sign-in: %v", err)
		}

		request := asks("account", webCallback, "scope", "openid account.read account.write admin", "max_age", maxAgeOf(err))
		if to := browser.open(request).location(t); to.Path != "/login" {
			t.Fatalf("the old sign-in was enough for the issuer: %s", to.Path)
		}
		to := browser.signIn(request, bossEmail, bossPassword).location(t)
		again := b.post("/oauth2/token", "account", webSecret, redeems(b.logs.secret(to.Query().Get("code")), webCallback))
		refuses(t, asked(again.str("access_token")), codes.NotFound, "")
	})
}

// maxAgeOf reads the challenge of a refused call.
func maxAgeOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()["max_age"]
		}
	}
	return ""
}
