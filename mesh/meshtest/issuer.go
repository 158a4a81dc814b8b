// Package meshtest makes a mesh for a test: an issuer of tokens that serves real HTTP, a certificate authority, servers
// on real TCP with mutual TLS and the real guard, and every credential that they must refuse.
//
// Nothing in it stands in for the guard or the verifier: a test that passes here has gone through both.
package meshtest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh"
)

// Audience is what tokens of an [Issuer] are for unless their claims say otherwise, and what servers accept.
const Audience = "urn:realguardio:api"

// Issuer is an issuer of access tokens with discovery, keys and a token endpoint over HTTP.
type Issuer struct {
	// URL is its issuer identifier.
	URL string
	// CA issues the certificates of the servers and clients of this test.
	CA *CA

	http *httptest.Server
	now  func() time.Time

	mu        sync.Mutex
	published []published
	fetches   int
	down      bool
	clients   map[string]string
	issued    int
}

// published is a key in the issuer's JWK set. The last one signs.
type published struct {
	id  string
	key *ecdsa.PrivateKey
}

// NewIssuer starts an issuer, which ends with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	iss := &Issuer{CA: NewCA(t), now: time.Now, clients: map[string]string{}}
	iss.Rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", iss.serveDiscovery)
	mux.HandleFunc("GET /oauth2/jwks", iss.serveKeys)
	mux.HandleFunc("POST /oauth2/token", iss.serveToken)
	iss.http = httptest.NewServer(iss.unlessDown(mux))
	iss.URL = iss.http.URL
	t.Cleanup(iss.http.Close)
	return iss
}

// Posing returns an issuer without an address: with a key that the test has got hold of, it makes the tokens of the one at
// url, who publishes that key under id. So an installation that runs can be shown [Issuer.BadCredentials].
func Posing(t testing.TB, url, id string, key *ecdsa.PrivateKey) *Issuer {
	t.Helper()
	return &Issuer{URL: url, CA: NewCA(t), now: time.Now, clients: map[string]string{}, published: []published{{id: id, key: key}}}
}

// Claims is what a token says. The zero value is a user "u-test" without role or scope, through the client
// "test-client", for [Audience], five minutes from now.
type Claims struct {
	Subject, ClientID, SessionID, TokenID, GrantID string
	Name, Email, ACR                               string
	// Kind is user, client or workload. Clients and workloads are their own subject: Subject alone is enough.
	Kind             mesh.Kind
	Roles, Scopes    []string
	Audience         []string
	Epoch            int64
	AuthTime, Issued time.Time
	NotBefore        time.Time
	Expiry           time.Time

	// Extra sets claims by their wire names, over the ones above; nil removes one.
	Extra map[string]any
	// Header sets members of the JOSE header in the same way.
	Header map[string]any
}

// Token issues an access token.
func (iss *Issuer) Token(t testing.TB, c Claims) string {
	t.Helper()
	token, err := iss.issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (iss *Issuer) issue(c Claims) (string, error) {
	signed, err := join(iss.header(c.Header), iss.payload(c))
	if err != nil {
		return "", err
	}
	return signES256(iss.signer().key, signed)
}

// Workload issues a token to one of the mesh's parts.
func (iss *Issuer) Workload(t testing.TB, part string) string {
	t.Helper()
	return iss.Token(t, Claims{Subject: part, Kind: mesh.KindWorkload})
}

// Rotate makes a new signing key and publishes it; the old ones stay published.
func (iss *Issuer) Rotate(t testing.TB) {
	t.Helper()
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.published = append(iss.published, published{id: "key-" + rand.Text()[:8], key: newKey(t)})
}

// Withdraw publishes only the newest key, as after a compromise of the others.
func (iss *Issuer) Withdraw() {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.published = iss.published[len(iss.published)-1:]
}

// SetDown makes every answer a 503, or ends that.
func (iss *Issuer) SetDown(down bool) {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.down = down
}

// AddClient lets a client use the token endpoint with the client credentials grant. It gets workload tokens.
func (iss *Issuer) AddClient(id, secret string) {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.clients[id] = secret
}

// Fetches returns how often keys were asked for.
func (iss *Issuer) Fetches() int {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	return iss.fetches
}

// Issued returns how many tokens the token endpoint has given.
func (iss *Issuer) Issued() int {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	return iss.issued
}

// KeyID returns the id of the key that signs now.
func (iss *Issuer) KeyID() string { return iss.signer().id }

func (iss *Issuer) signer() published {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	return iss.published[len(iss.published)-1]
}

func (iss *Issuer) header(over map[string]any) map[string]any {
	h := map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": iss.KeyID()}
	override(h, over)
	return h
}

func (iss *Issuer) payload(c Claims) map[string]any {
	now := iss.now()
	c = c.complete(now)
	p := map[string]any{
		"iss": iss.URL, "sub": c.Subject, "client_id": c.ClientID, "jti": c.TokenID, "aud": c.Audience,
		"caller": string(c.Kind), "iat": seconds(c.Issued), "exp": seconds(c.Expiry),
		"scope": strings.Join(c.Scopes, " "),
	}
	optional := map[string]string{"sid": c.SessionID, "gid": c.GrantID, "name": c.Name, "email": c.Email, "acr": c.ACR}
	for name, value := range optional {
		if value != "" {
			p[name] = value
		}
	}
	if len(c.Roles) > 0 {
		p["roles"] = c.Roles
	}
	if c.Epoch != 0 {
		p["epoch"] = c.Epoch
	}
	if !c.AuthTime.IsZero() {
		p["auth_time"] = seconds(c.AuthTime)
	}
	if !c.NotBefore.IsZero() {
		p["nbf"] = seconds(c.NotBefore)
	}
	override(p, c.Extra)
	return p
}

func (c Claims) complete(now time.Time) Claims {
	if c.Kind == "" {
		c.Kind = mesh.KindUser
	}
	if c.Subject == "" {
		c.Subject = "u-test"
	}
	if c.ClientID == "" {
		c.ClientID = c.Subject
		if c.Kind == mesh.KindUser {
			c.ClientID = "test-client"
		}
	}
	if c.TokenID == "" {
		c.TokenID = rand.Text()
	}
	if c.Audience == nil {
		c.Audience = []string{Audience}
	}
	if c.Issued.IsZero() {
		c.Issued = now
	}
	if c.Expiry.IsZero() {
		c.Expiry = now.Add(5 * time.Minute)
	}
	return c
}

// seconds is a NumericDate; it has a fraction only where the time has one, so that tests may be finer than a second.
func seconds(t time.Time) any {
	if t.Nanosecond() == 0 {
		return t.Unix()
	}
	return float64(t.UnixMilli()) / 1000
}

func override(m, over map[string]any) {
	maps.Copy(m, over)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
}

// join is the part of a token that is signed.
func join(header, payload map[string]any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("encode header: %w", err)
	}
	p, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("encode payload: %w", err)
	}
	return encode64(h) + "." + encode64(p), nil
}

func encode64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func signES256(key *ecdsa.PrivateKey, signed string) (string, error) {
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode64(signature), nil
}

func (iss *Issuer) unlessDown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		iss.mu.Lock()
		down := iss.down
		iss.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (iss *Issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string]any{
		"issuer": iss.URL, "jwks_uri": iss.URL + "/oauth2/jwks", "token_endpoint": iss.URL + "/oauth2/token",
	})
}

func (iss *Issuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.fetches++
	keys := make([]any, 0, len(iss.published))
	for _, p := range iss.published {
		k, err := jwk.FromRaw(p.key.Public())
		if err == nil {
			err = k.Set(jwk.KeyIDKey, p.id)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		keys = append(keys, k)
	}
	reply(w, map[string]any{"keys": keys})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(fmt.Errorf("meshtest: write answer: %w", err))
	}
}
