package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// holder is a client's key, and the server that it is shown to.
type holder struct {
	*server
	*dpop.Key
}

func (s *server) holder() holder {
	s.t.Helper()
	key, err := dpop.GenerateKey()
	if err != nil {
		s.t.Fatal(err)
	}
	key.Now = s.clock.Now
	return holder{s, key}
}

// proof is one for a request to the server. access is the token that goes with it, empty for none.
func (h holder) proof(method, path, access string) string {
	h.t.Helper()
	proof, err := h.Proof(dpop.Target{Method: method, URL: h.url + path, AccessToken: access})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.logs.secret(proof)
}

// post posts a form with a proof for just that.
func (h holder) post(path, client, secret string, form url.Values) reply {
	h.t.Helper()
	return h.send(path, client, secret, form, "DPoP", h.proof("POST", path, ""))
}

// send posts a form with headers.
func (s *server) send(path, client, secret string, form url.Values, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return s.do(plain, r)
}

// userinfo asks with a token and a proof.
func (h holder) userinfo(access string) reply {
	h.t.Helper()
	return h.get("/oauth2/userinfo", "Authorization", "DPoP "+access, "DPoP", h.proof("GET", "/oauth2/userinfo", access))
}

// native signs alice in at the native app, which cannot authenticate, and redeems the code.
func (h holder) native() reply {
	h.t.Helper()
	code := h.browser().code(asks("native", nativeURI))
	r := h.post("/oauth2/token", "", "", redeemsAs("native", code, nativeURI))
	if r.status != http.StatusOK {
		h.t.Fatalf("redeeming a code: %d %s", r.status, r.body)
	}
	return r
}

func redeemsAs(client, code, redirect string) url.Values {
	form := redeems(code, redirect)
	form.Set("client_id", client)
	return form
}

func renews(client, refreshToken string) url.Values {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
	if client != "" {
		form.Set("client_id", client)
	}
	return form
}

// boundTo is the thumbprint of the DPoP key that a token names.
func boundTo(t *testing.T, access string) string {
	t.Helper()
	confirmation, _ := claims(t, access)["cnf"].(map[string]any)
	jkt, _ := confirmation["jkt"].(string)
	return jkt
}

func TestATokenIsBoundToTheKeyThatWasProven(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers().devices()
		h := s.holder()
		got := map[string]reply{
			"client credentials": h.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}),
			"a password": h.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice},
				"password": {alicePassword}}),
			"a code": h.post("/oauth2/token", "web", webSecret, redeems(s.browser().code(asks("web", webCallback)), webCallback)),
		}
		got["a refresh token"] = h.post("/oauth2/token", "web", webSecret, renews("", got["a code"].str("refresh_token")))
		got["another token"] = h.post("/oauth2/token", "customer", serviceSecret, url.Values{"grant_type": {oauth.GrantTokenExchange},
			"subject_token": {s.tokens().str("access_token")}, "subject_token_type": {oauth.TokenTypeAccess}})
		device := s.device()
		s.atDevicePage(alice, alicePassword).answers(device.str("user_code"), "allow")
		got["a device code"] = h.post("/oauth2/token", "", "", url.Values{"grant_type": {oauth.GrantDeviceCode}, "client_id": {"tv"},
			"device_code": {device.str("device_code")}})
		for grant, r := range got {
			if r.status != http.StatusOK || r.str("token_type") != "DPoP" {
				t.Errorf("for %s: %d %s", grant, r.status, r.body)
				continue
			}
			if jkt := boundTo(t, r.str("access_token")); jkt != h.Thumbprint() {
				t.Errorf("for %s: bound to %q", grant, jkt)
			}
		}
		said := s.post("/oauth2/introspect", "web", webSecret, url.Values{"token": {got["a code"].str("access_token")}})
		if said.json["active"] != true || said.str("token_type") != "DPoP" || said.json["cnf"].(map[string]any)["jkt"] != h.Thumbprint() {
			t.Errorf("introspection: %s", said.body)
		}
		if r := s.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}); r.str("token_type") != "Bearer" || boundTo(t, r.str("access_token")) != "" {
			t.Errorf("without a proof: %s", r.body)
		}
		// What is bound is revoked like any other.
		s.post("/oauth2/revoke", "web", webSecret, url.Values{"token": {got["a code"].str("access_token")}})
		refused(t, h.userinfo(got["a code"].str("access_token")), 401, "invalid_token")
	})
}

// TestABoundTokenIsItsHoldersAlone asks our own resource.
func TestABoundTokenIsItsHoldersAlone(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h, other := s.holder(), s.holder()
		access := h.native().str("access_token")
		unbound := s.tokens().str("access_token")
		const at = "/oauth2/userinfo"
		if r := h.userinfo(access); r.status != http.StatusOK || r.str("sub") == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		used := h.proof("GET", at, access)
		if r := s.get(at, "Authorization", "dpop "+access, "DPoP", used); r.status != http.StatusOK {
			t.Errorf("the scheme in small letters: %d %s", r.status, r.body)
		}
		for _, tt := range []struct {
			name   string
			header []string
			code   string
			scheme string
		}{
			{"as a bearer token", []string{"Authorization", "Bearer " + access}, "invalid_token", "DPoP"},
			{"as a bearer token, with a proof", []string{"Authorization", "Bearer " + access, "DPoP", h.proof("GET", at, access)}, "invalid_token", "DPoP"},
			{"without a proof", []string{"Authorization", "DPoP " + access}, "invalid_dpop_proof", "DPoP"},
			{"with a proof of another key", []string{"Authorization", "DPoP " + access, "DPoP", other.proof("GET", at, access)}, "invalid_dpop_proof", "DPoP"},
			{"with a proof for another token", []string{"Authorization", "DPoP " + access, "DPoP", h.proof("GET", at, unbound)}, "invalid_dpop_proof", "DPoP"},
			{"with a proof for no token", []string{"Authorization", "DPoP " + access, "DPoP", h.proof("GET", at, "")}, "invalid_dpop_proof", "DPoP"},
			{"with a proof for another method", []string{"Authorization", "DPoP " + access, "DPoP", h.proof("POST", at, access)}, "invalid_dpop_proof", "DPoP"},
			{"with a proof for another endpoint", []string{"Authorization", "DPoP " + access, "DPoP", h.proof("GET", "/oauth2/token", access)}, "invalid_dpop_proof", "DPoP"},
			{"with two proofs", []string{"Authorization", "DPoP " + access, "DPoP", h.proof("GET", at, access), "DPoP", h.proof("GET", at, access)}, "invalid_dpop_proof", "DPoP"},
			{"with a proof that was used", []string{"Authorization", "DPoP " + access, "DPoP", used}, "invalid_dpop_proof", "DPoP"},
			{"a token that is bound to nothing, with a proof", []string{"Authorization", "DPoP " + unbound, "DPoP", h.proof("GET", at, unbound)}, "invalid_token", "DPoP"},
			{"nonsense", []string{"Authorization", "DPoP nonsense", "DPoP", h.proof("GET", at, "nonsense")}, "invalid_token", "DPoP"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				r := s.get(at, tt.header...)
				refused(t, r, 401, tt.code)
				if challenge := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, tt.scheme+" ") ||
					!strings.Contains(challenge, `error="`+tt.code+`"`) || !strings.Contains(challenge, `algs="ES256 `) {
					t.Errorf("challenge %s", challenge)
				}
			})
		}
		refused(t, s.get(at, "Authorization", "DPoP "+access, "Authorization", "Bearer "+access, "DPoP", h.proof("GET", at, access)), 400, "invalid_request")
		refused(t, s.send(at, "", "", url.Values{"access_token": {access}}, "DPoP", h.proof("POST", at, access)), 401, "invalid_token")
		if r := s.get(at); len(r.header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("without a token: %v", r.header.Values("WWW-Authenticate"))
		}
		if r := s.get(at, "Authorization", "Bearer "+unbound, "DPoP", "nonsense"); r.status != http.StatusOK {
			t.Errorf("a bearer token beside a header that means nothing to it: %d", r.status)
		}
	})
}

func TestARefreshTokenIsBoundForWhoCannotAuthenticate(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h, thief := s.holder(), s.holder()
		first := h.native().str("refresh_token")
		refused(t, s.post("/oauth2/token", "", "", renews("native", first)), 400, "invalid_grant")
		refused(t, thief.post("/oauth2/token", "", "", renews("native", first)), 400, "invalid_grant")
		second := h.post("/oauth2/token", "", "", renews("native", first))
		if second.status != http.StatusOK || boundTo(t, second.str("access_token")) != h.Thumbprint() {
			t.Fatalf("%d %s", second.status, second.body)
		}
		if again := h.post("/oauth2/token", "", "", renews("native", first)); again.str("refresh_token") != second.str("refresh_token") {
			t.Errorf("the holder's second try within ten seconds: %d %s", again.status, again.body)
		}
		// A thief can do nothing with it, and nothing to it.
		refused(t, thief.post("/oauth2/token", "", "", renews("native", first)), 400, "invalid_grant")
		third := h.post("/oauth2/token", "", "", renews("native", second.str("refresh_token")))
		if third.status != http.StatusOK {
			t.Fatalf("after a thief's try: %d %s", third.status, third.body)
		}
		s = s.again(st)
		h.server, thief.server = s, s
		refused(t, thief.post("/oauth2/token", "", "", renews("native", third.str("refresh_token"))), 400, "invalid_grant")
		s.clock.Advance(11 * time.Second)
		refused(t, h.post("/oauth2/token", "", "", renews("native", first)), 400, "invalid_grant")
		refused(t, h.post("/oauth2/token", "", "", renews("native", third.str("refresh_token"))), 400, "invalid_grant") // the family is over

		// One that was not bound is from when a key is proven.
		code := s.browser().code(asks("native", nativeURI))
		bearer := s.post("/oauth2/token", "", "", redeemsAs("native", code, nativeURI)).str("refresh_token")
		bound := h.post("/oauth2/token", "", "", renews("native", bearer))
		if bound.status != http.StatusOK {
			t.Fatalf("%d %s", bound.status, bound.body)
		}
		refused(t, s.post("/oauth2/token", "", "", renews("native", bound.str("refresh_token"))), 400, "invalid_grant")
		refused(t, thief.post("/oauth2/token", "", "", renews("native", bound.str("refresh_token"))), 400, "invalid_grant")
	})
}

// TestTheSecondsAfterARenewalAreForTheSameKey: a client that authenticates may take a new key, but not for a token that was
// spent with another.
func TestTheSecondsAfterARenewalAreForTheSameKey(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h, other := s.holder(), s.holder()
		for name, again := range map[string]func(form url.Values) reply{
			"another key": func(form url.Values) reply { return other.post("/oauth2/token", "web", webSecret, form) },
			"no key":      func(form url.Values) reply { return s.post("/oauth2/token", "web", webSecret, form) },
		} {
			first := s.tokens().str("refresh_token") // by no key
			second := h.post("/oauth2/token", "web", webSecret, renews("", first)).str("refresh_token")
			if r := h.post("/oauth2/token", "web", webSecret, renews("", first)); r.str("refresh_token") != second {
				t.Errorf("the same key: %d %s", r.status, r.body)
			}
			refused(t, again(renews("", first)), 400, "invalid_grant")
			if r := h.post("/oauth2/token", "web", webSecret, renews("", second)); r.status != http.StatusBadRequest {
				t.Errorf("%s: the family lives on", name)
			}
		}
		third := other.post("/oauth2/token", "web", webSecret, renews("", s.tokens().str("refresh_token")))
		if r := h.post("/oauth2/token", "web", webSecret, renews("", third.str("refresh_token"))); r.status != http.StatusOK || boundTo(t, r.str("access_token")) != h.Thumbprint() {
			t.Errorf("a new key for a new token: %d %s", r.status, r.body)
		}
	})
}

func TestACodeIsBoundToADPoPKey(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h, other := s.holder(), s.holder()
		pushed := func(proof string, changes ...string) string {
			r := s.send("/oauth2/par", "web", webSecret, pushes("web", webCallback, changes...), "DPoP", proof)
			if r.status != http.StatusCreated {
				t.Fatalf("%d %s", r.status, r.body)
			}
			return begins("web", r.str("request_uri"))
		}
		for name, request := range map[string]string{
			"named in the request":      asks("web", webCallback, "dpop_jkt", h.Thumbprint()),
			"named in a pushed request": begins("web", s.push("dpop_jkt", h.Thumbprint())),
			"proven as it was pushed":   pushed(h.proof("POST", "/oauth2/par", "")),
			"named and proven":          pushed(h.proof("POST", "/oauth2/par", ""), "dpop_jkt", h.Thumbprint()),
		} {
			form := redeems(s.browser().code(request), webCallback)
			refused(t, s.post("/oauth2/token", "web", webSecret, form), 400, "invalid_grant")
			refused(t, other.post("/oauth2/token", "web", webSecret, form), 400, "invalid_grant")
			if r := h.post("/oauth2/token", "web", webSecret, form); r.status != http.StatusOK || boundTo(t, r.str("access_token")) != h.Thumbprint() {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		for name, form := range map[string]url.Values{
			"too short":           pushes("web", webCallback, "dpop_jkt", "abc"),
			"no digest":           pushes("web", webCallback, "dpop_jkt", strings.Repeat("!", 43)),
			"of another key":      pushes("web", webCallback, "dpop_jkt", other.Thumbprint()),
			"given twice, almost": pushes("web", webCallback, "dpop_jkt", h.Thumbprint()+h.Thumbprint()),
		} {
			t.Run(name, func(t *testing.T) { refused(t, h.post("/oauth2/par", "web", webSecret, form), 400, "invalid_request") })
		}
		refused(t, s.send("/oauth2/par", "web", webSecret, pushes("web", webCallback), "DPoP", h.proof("POST", "/oauth2/token", "")), 400, "invalid_dpop_proof")
		to := s.browser().open(asks("web", webCallback, "dpop_jkt", "abc")).location(t)
		if to.Query().Get("error") != "invalid_request" {
			t.Errorf("sent to %s", to)
		}
	})
}

func TestABoundTokenIsExchangedByItsHolder(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st).exchangers()
		h, other := s.holder(), s.holder()
		subject := h.post("/oauth2/token", "web", webSecret, redeems(s.browser().code(asks("web", webCallback)), webCallback)).str("access_token")
		form := url.Values{"grant_type": {oauth.GrantTokenExchange}, "subject_token": {subject}, "subject_token_type": {oauth.TokenTypeAccess}}
		refused(t, s.post("/oauth2/token", "web", webSecret, form), 400, "invalid_request")
		refused(t, other.post("/oauth2/token", "web", webSecret, form), 400, "invalid_request")
		refused(t, other.post("/oauth2/token", "customer", serviceSecret, form), 400, "invalid_request")
		if r := h.post("/oauth2/token", "web", webSecret, form); r.status != http.StatusOK || boundTo(t, r.str("access_token")) != h.Thumbprint() || r.str("token_type") != "DPoP" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// TestAClientIsHeldToDPoP registers one for bound tokens.
func TestAClientIsHeldToDPoP(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h := s.holder()
		if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "held", Name: "Held", Secret: serviceSecret, DPoPBoundTokens: true, FirstParty: true,
			Grants: []string{"client_credentials", "authorization_code", "refresh_token"}, RedirectURIs: []string{webCallback}, Scopes: []string{"openid", "securitysystem.read"}}); err != nil {
			t.Fatal(err)
		}
		own := url.Values{"grant_type": {"client_credentials"}, "scope": {"securitysystem.read"}}
		refused(t, s.post("/oauth2/token", "held", serviceSecret, own), 400, "invalid_dpop_proof")
		if r := h.post("/oauth2/token", "held", serviceSecret, own); r.status != http.StatusOK || r.str("token_type") != "DPoP" {
			t.Errorf("%d %s", r.status, r.body)
		}
		code := s.browser().code(asks("held", webCallback, "scope", "openid"))
		refused(t, s.post("/oauth2/token", "held", serviceSecret, redeems(code, webCallback)), 400, "invalid_dpop_proof")
		if r := h.post("/oauth2/token", "held", serviceSecret, redeems(code, webCallback)); r.status != http.StatusOK {
			t.Errorf("the refusal has spent the code: %d %s", r.status, r.body)
		}
	})
}
