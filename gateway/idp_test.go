package gateway_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

const (
	clientID     = "realguardio-web"
	clientSecret = "web/secret+with:signs"

	introspectionSecret = "gateway-secret"
)

// idp is a small OpenID provider over real HTTP. Whoever comes to its authorization endpoint is signed in at once.
// Tests turn its knobs to make it answer as it should not.
type idp struct {
	*meshtest.Issuer
	t    testing.TB
	http *httptest.Server
	keys string

	mu      sync.Mutex
	codes   map[string]grant
	grants  map[string]grant // by refresh token
	apiKeys map[string]string
	opaque  map[string]string // the JWTs that opaque tokens stand for
	calls   map[string]int    // token calls by grant type
	revoked []string
	ended   []string

	// life is how long access tokens live.
	life time.Duration
	// roles are in the tokens.
	roles []string
	// down makes the token endpoint answer 503.
	down bool
	// asks makes the end-session endpoint ask the person.
	asks bool
	// slow is awaited before a refresh is answered.
	slow chan struct{}
	// tamper changes an ID token's claims or header.
	tamper func(*meshtest.Claims)
	// swapped is an access token that it issues in place of its own.
	swapped string
	// account is the page that it names for people to see their account.
	account string
	// answer changes the authorization response.
	answer func(url.Values)
}

// grant is what a person has allowed.
type grant struct {
	nonce, challenge, redirect, sid string
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	p := &idp{
		Issuer: meshtest.NewIssuer(t), t: t, codes: map[string]grant{}, grants: map[string]grant{}, apiKeys: map[string]string{}, opaque: map[string]string{},
		calls: map[string]int{}, life: 5 * time.Minute, roles: []string{"REALGUARDIO_CUSTOMER_EMPLOYEE"},
	}
	p.keys = p.URL + "/oauth2/jwks"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /oauth2/jwks", p.jwks)
	mux.HandleFunc("GET /oauth2/authorize", p.authorize)
	mux.HandleFunc("POST /oauth2/token", p.token)
	mux.HandleFunc("POST /oauth2/revoke", p.revoke)
	mux.HandleFunc("POST /oauth2/logout", p.logout)
	mux.HandleFunc("POST /oauth2/introspect", p.introspect)
	p.http = httptest.NewServer(mux)
	t.Cleanup(p.http.Close)
	p.URL = p.http.URL
	return p
}

// set turns knobs.
func (p *idp) set(turn func(*idp)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turn(p)
}

func (p *idp) count(grantType string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[grantType]
}

func (p *idp) discovery(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/oauth2/authorize", "token_endpoint": p.URL + "/oauth2/token",
		"introspection_endpoint": p.URL + "/oauth2/introspect", "revocation_endpoint": p.URL + "/oauth2/revoke", "end_session_endpoint": p.URL + "/oauth2/logout", "jwks_uri": p.URL + "/oauth2/jwks",
		"id_token_signing_alg_values_supported":          []string{"ES256", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true, "account_management_uri": p.account,
	})
}

func (p *idp) jwks(w http.ResponseWriter, _ *http.Request) {
	res, err := http.Get(p.keys)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.Copy(w, res.Body)
}

func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	code := rand.Text()
	p.codes[code] = grant{nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"), sid: "sid-" + rand.Text()}
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.answer != nil {
		p.answer(answer)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	grantType := r.PostFormValue("grant_type")
	p.mu.Lock()
	p.calls[grantType]++
	slow, down := p.slow, p.down
	p.mu.Unlock()
	if slow != nil && grantType == "refresh_token" {
		<-slow
	}
	if down {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable"})
		return
	}
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	p.mu.Lock()
	defer p.mu.Unlock()
	if grantType == "client_credentials" {
		p.clientCredentials(w, id, secret)
		return
	}
	if id != clientID || secret != clientSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	var g grant
	var ok bool
	switch grantType {
	case "authorization_code":
		g, ok = p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		ok = ok && g.challenge == base64.RawURLEncoding.EncodeToString(sum[:]) && g.redirect == r.PostFormValue("redirect_uri")
	case "refresh_token":
		g, ok = p.grants[r.PostFormValue("refresh_token")]
		delete(p.grants, r.PostFormValue("refresh_token"))
	}
	if !ok {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	p.issue(w, g)
}

// issue answers with tokens. The caller holds the lock.
func (p *idp) issue(w http.ResponseWriter, g grant) {
	person := meshtest.Claims{
		Subject: "u-alice", ClientID: clientID, SessionID: g.sid, GrantID: "gid-" + g.sid, Name: "Alice Acme", Email: "alice@acme.example",
	}
	access := person
	access.Roles, access.Expiry = p.roles, time.Now().Add(p.life)
	access.Scopes = []string{"securitysystem.read", "securitysystem.arm", "securitysystem.disarm", "securitysystem.write", "customer.write"}
	accessToken := p.Token(p.t, access)
	id := person
	id.Audience, id.Header = []string{clientID}, map[string]any{"typ": "JWT"}
	sum := sha256.Sum256([]byte(accessToken))
	id.Extra = map[string]any{"nonce": g.nonce, "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), "scope": nil, "caller": nil, "client_id": nil}
	if p.tamper != nil {
		p.tamper(&id)
	}
	if p.swapped != "" {
		accessToken = p.swapped
	}
	refresh := rand.Text()
	p.grants[refresh] = g
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": accessToken, "token_type": "Bearer", "expires_in": int(p.life.Seconds()), "refresh_token": refresh,
		"id_token": p.Token(p.t, id),
	})
}

// clientCredentials answers an API key. The caller holds the lock.
func (p *idp) clientCredentials(w http.ResponseWriter, id, secret string) {
	if want, ok := p.apiKeys[id]; !ok || want != secret {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	token := p.Token(p.t, meshtest.Claims{
		Subject: id, Kind: mesh.KindClient, Scopes: []string{"securitysystem.read", "securitysystem.arm"}, Expiry: time.Now().Add(p.life),
	})
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(p.life.Seconds())})
}

func (p *idp) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = append(p.revoked, r.PostFormValue("token"))
	delete(p.grants, r.PostFormValue("token"))
}

// introspect tells a resource server what an opaque token means.
func (p *idp) introspect(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls["introspection"]++
	switch jwt := p.opaque[r.PostFormValue("token")]; {
	case p.down:
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable"})
	case id != "gateway" || secret != introspectionSecret || r.Header.Get("Accept") != "application/jwt":
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
	case jwt == "":
		writeJSON(w, http.StatusOK, map[string]bool{"active": false})
	default:
		w.Header().Set("Content-Type", "application/jwt")
		_, _ = io.WriteString(w, jwt)
	}
}

func (p *idp) logout(w http.ResponseWriter, r *http.Request) {
	hint := strings.Split(r.PostFormValue("id_token_hint"), ".")
	var claims struct{ Sid string }
	if len(hint) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(hint[1])
		_ = json.Unmarshal(raw, &claims)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asks {
		_, _ = io.WriteString(w, "Do you want to sign out?")
		return
	}
	p.ended = append(p.ended, claims.Sid)
	http.Redirect(w, r, r.PostFormValue("post_logout_redirect_uri"), http.StatusSeeOther)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
