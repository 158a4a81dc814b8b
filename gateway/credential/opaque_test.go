package credential_test

import (
	"context"
	"testing"
	"time"

	"github.com/realguardio/realguardio/gateway/credential"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// provider answers every introspection with one JWT, and knows no API key.
type provider struct {
	jwt   string
	asked int
}

func (p *provider) JWTForm(context.Context, string) (string, error) {
	p.asked++
	if p.jwt == "" {
		return "", credential.ErrRefused
	}
	return p.jwt, nil
}

func (*provider) ClientCredentials(context.Context, string, string) (string, time.Time, error) {
	return "", time.Time{}, credential.ErrRefused
}

// TestAKeyThatIsWithdrawnEndsNoOpaqueToken: it ends the JWT that is held, and there is another to be had.
func TestAKeyThatIsWithdrawnEndsNoOpaqueToken(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	claims := meshtest.Claims{Subject: "u-mary", TokenID: "t-mary"}
	p := &provider{jwt: iss.Token(t, claims)}
	old := iss.KeyID()
	iss.Rotate(t)
	revoked := revocation.NewSet(revocation.Config{})
	checker, err := credential.New(credential.Config{Verifier: iss.Verifier(t, "gateway"), Revocations: revoked, Exchanger: p, Introspector: p})
	if err != nil {
		t.Fatal(err)
	}
	check := func(admitted bool, asked int) {
		t.Helper()
		access, err := checker.Check(t.Context(), "Bearer rgo_x", "192.0.2.1")
		if (err == nil) != admitted || p.asked != asked || admitted && access.Token != p.jwt {
			t.Fatalf("%v, %v, after %d questions", access.Identity, err, p.asked)
		}
	}
	check(true, 1)
	check(true, 1)
	p.jwt = iss.Token(t, claims)
	if err := revoked.Add(revocation.Entry{Kind: revocation.Key, Value: old}); err != nil {
		t.Fatal(err)
	}
	check(true, 2)
	if err := revoked.Add(revocation.Entry{Kind: revocation.Token, Value: "t-mary"}); err != nil {
		t.Fatal(err)
	}
	check(false, 2)
	check(false, 2)
	if _, err := checker.Check(t.Context(), "Bearer rgk_x.secret", "192.0.2.1"); err == nil {
		t.Error("a key that nobody knows is accepted")
	}
	keys, opaque := checker.Stats()
	if keys != (credential.Stats{Requests: 1, Refused: 1}) || opaque != (credential.Stats{Hits: 3, Requests: 2}) {
		t.Errorf("counted %+v and %+v", keys, opaque)
	}
}
