package token_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// bank is a client as the FAPI 2.0 Security Profile wants it: it authenticates by a key, and its tokens are bound to another.
type bank struct {
	*server
	*keyHolder
}

func (s *server) bank(id string) bank {
	s.t.Helper()
	b := bank{s, newKeyHolder(s.t, id)}
	if _, err := s.EnsureClient(s.t.Context(), token.ClientSpec{ID: id, Name: "Bank", JWKS: b.jwks, DPoPBoundTokens: true, FirstParty: true,
		Grants: codeGrants, RedirectURIs: []string{webCallback}, Scopes: []string{"openid", "securitysystem.read"}}); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// proves adds the bank's assertion to a form.
func (b bank) proves(form url.Values) url.Values {
	form.Set("client_assertion", b.logs.secret(b.assertion(b.t, b.claims(b.server))))
	form.Set("client_assertion_type", oauth.AssertionType)
	return form
}

// signsIn has alice sign in at the bank, and returns its tokens.
func (b bank) signsIn(key holder) reply {
	b.t.Helper()
	code := b.browser().code(asks(b.id, webCallback, "scope", "openid securitysystem.read"))
	r := key.post("/oauth2/token", "", "", b.proves(redeems(code, webCallback)))
	if r.status != http.StatusOK || r.str("refresh_token") == "" {
		b.t.Fatalf("redeeming a code: %d %s", r.status, r.body)
	}
	return r
}

func (b bank) renews(key holder, refresh string) reply {
	b.t.Helper()
	return key.post("/oauth2/token", "", "", b.proves(renews("", refresh)))
}

// TestTheRefreshTokenOfABoundClientStays is the FAPI 2.0 Security Profile's section 5.3.2.1: a token that only the holder of the
// client's key can use is not rotated, so that no answer that is lost ends what a person has allowed.
func TestTheRefreshTokenOfABoundClientStays(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b, key := s.bank("bank"), s.holder()
		first := b.signsIn(key)
		refresh := first.str("refresh_token")
		for _, r := range append(parallel(20, func() reply { return b.renews(key, refresh) }), b.renews(key, refresh)) {
			if r.status != http.StatusOK || r.str("refresh_token") != refresh || boundTo(t, r.str("access_token")) != key.Thumbprint() {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		s.clock.Advance(time.Hour)
		next := s.holder() // which the client may take: the token is its own, whatever the key (RFC 9449, section 5)
		renewed := b.renews(next, refresh)
		if renewed.str("refresh_token") != refresh || boundTo(t, renewed.str("access_token")) != next.Thumbprint() {
			t.Errorf("with a new key: %d %s", renewed.status, renewed.body)
		}
		if n := s.count(`SELECT generation FROM grants`); n != 1 {
			t.Errorf("generation %d", n)
		}
		t.Run("and is worth nothing to anybody else", func(t *testing.T) {
			other := s.bank("other")
			refused(t, s.post("/oauth2/token", "", "", renews("bank", refresh)), 401, "invalid_client")
			refused(t, key.post("/oauth2/token", "", "", renews("bank", refresh)), 401, "invalid_client")
			refused(t, s.post("/oauth2/token", "", "", b.proves(renews("", refresh))), 400, "invalid_dpop_proof")
			refused(t, other.renews(key, refresh), 400, "invalid_grant")
			if r := b.renews(key, refresh); r.status != http.StatusOK {
				t.Errorf("their attempts have ended it: %d %s", r.status, r.body)
			}
		})
		t.Run("until its session ends", func(t *testing.T) {
			s.exec(`UPDATE sessions SET ended_at = 1`)
			refused(t, b.renews(key, refresh), 400, "invalid_grant")
		})
		t.Run("until it is revoked", func(t *testing.T) {
			refresh := b.signsIn(key).str("refresh_token")
			if r := s.post("/oauth2/revoke", "", "", b.proves(url.Values{"token": {refresh}})); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			refused(t, b.renews(key, refresh), 400, "invalid_grant")
		})
		t.Run("until the grant is over", func(t *testing.T) {
			refresh := b.signsIn(key).str("refresh_token")
			s.clock.Advance(29 * 24 * time.Hour)
			if r := b.renews(key, refresh); r.status != http.StatusOK {
				t.Errorf("after 29 days: %d %s", r.status, r.body)
			}
			s.clock.Advance(2 * 24 * time.Hour)
			refused(t, b.renews(key, refresh), 400, "invalid_grant")
		})
	})
}

// TestWhoseRefreshTokensStay: what a thief of a token lacks has to be a key. Where it is a secret, or nothing, two who use one
// token are found out.
func TestWhoseRefreshTokensStay(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		m := startMutual(t, st)
		a := asker{mutual: m, keys: newKeyHolder(t, "key"), certificate: named(t, m.ca), proofs: m.holder().Key}
		for _, tt := range []struct {
			spec  token.ClientSpec
			stays bool
		}{
			{token.ClientSpec{ID: "key", Name: "By a key, bound by DPoP", JWKS: a.keys.jwks, DPoPBoundTokens: true}, true},
			{token.ClientSpec{ID: "certificate", Name: "By a certificate, bound to it", TLSAuth: oauth.TLSAuth{By: oauth.BySANURI, Name: "urn:example:reports"},
				CertificateBoundTokens: true}, true},
			{token.ClientSpec{ID: "unbound", Name: "By a key, not bound", JWKS: a.keys.jwks}, false},
			{token.ClientSpec{ID: "secret", Name: "By a secret, bound by DPoP", Secret: webSecret, DPoPBoundTokens: true}, false},
			{token.ClientSpec{ID: "public", Name: "By nothing, bound by DPoP", Public: true, DPoPBoundTokens: true}, false},
		} {
			t.Run(tt.spec.Name, func(t *testing.T) {
				tt.spec.FirstParty, tt.spec.Grants = true, codeGrants
				tt.spec.RedirectURIs, tt.spec.Scopes = []string{webCallback}, []string{"openid"}
				if _, err := m.EnsureClient(t.Context(), tt.spec); err != nil {
					t.Fatal(err)
				}
				first := a.asks(tt.spec, redeems(m.browser().code(asks(tt.spec.ID, webCallback, "scope", "openid")), webCallback))
				renewed := a.asks(tt.spec, renews("", first.str("refresh_token")))
				if renewed.status != http.StatusOK || (renewed.str("refresh_token") == first.str("refresh_token")) != tt.stays {
					t.Errorf("%d %s", renewed.status, renewed.body)
				}
			})
		}
	})
}

// asker has all that a client can be registered to prove.
type asker struct {
	*mutual
	keys        *keyHolder
	certificate tls.Certificate
	proofs      *dpop.Key
}

// asks posts a form to the token endpoint with what a client is registered to prove.
func (a asker) asks(spec token.ClientSpec, form url.Values) reply {
	a.t.Helper()
	form.Set("client_id", spec.ID)
	if spec.JWKS != "" {
		form.Set("client_assertion", a.logs.secret(a.keys.assertion(a.t, a.keys.claims(a.server, "iss", spec.ID, "sub", spec.ID))))
		form.Set("client_assertion_type", oauth.AssertionType)
	}
	if spec.Secret != "" {
		form.Set("client_secret", spec.Secret)
	}
	var certificate tls.Certificate
	if spec.CertificateBoundTokens {
		certificate = a.certificate
	}
	if !spec.DPoPBoundTokens {
		return a.at(certificate, "/oauth2/token", form)
	}
	proof, err := a.proofs.Proof(dpop.Target{Method: http.MethodPost, URL: a.origin + "/oauth2/token"})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.at(certificate, "/oauth2/token", form, "DPoP", a.logs.secret(proof))
}
