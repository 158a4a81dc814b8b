package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token"
)

// forger makes DPoP proofs of all kinds, by a key of each type.
type forger struct {
	*server
	keys map[string]any // private, by type
}

func (s *server) forger() forger {
	s.t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	h := newKeyHolder(s.t, "forger")
	return forger{s, map[string]any{"EC": ec, "RSA": h.private["rsa"], "OKP": h.private["ed"], "oct": []byte("a secret of both sides, 32 bytes.")}}
}

type members = map[string]any

// jwk is the public half of a key, or the whole of a shared one.
func (f forger) jwk(kind string) members {
	f.t.Helper()
	key, err := jwk.FromRaw(f.keys[kind])
	if err != nil {
		f.t.Fatal(err)
	}
	if kind != "oct" {
		if key, err = key.PublicKey(); err != nil {
			f.t.Fatal(err)
		}
	}
	raw, err := json.Marshal(key)
	if err != nil {
		f.t.Fatal(err)
	}
	out := members{}
	if err := json.Unmarshal(raw, &out); err != nil {
		f.t.Fatal(err)
	}
	return out
}

// proof is a good one for the token endpoint but for what header and claims change; nil removes a member.
func (f forger) proof(kind string, alg jwa.SignatureAlgorithm, header, claims members) string {
	f.t.Helper()
	h := members{"typ": "dpop+jwt", "alg": alg.String(), "jwk": f.jwk(kind)}
	c := members{"jti": rand.Text(), "htm": "POST", "htu": f.url + "/oauth2/token", "iat": f.clock.Now().Unix()}
	for to, over := range map[*members]members{&h: header, &c: claims} {
		maps.Copy(*to, over)
		maps.DeleteFunc(*to, func(_ string, v any) bool { return v == nil })
	}
	payload, err := json.Marshal(c)
	if err != nil {
		f.t.Fatal(err)
	}
	if alg == "" {
		return sign(f.t, h, payload, "", nil)
	}
	return sign(f.t, h, payload, alg, f.keys[kind])
}

func (f forger) es256(header, claims members) string {
	return f.proof("EC", jwa.ES256, header, claims)
}

// redeem redeems a code with proofs.
func (f forger) redeem(code string, proofs ...string) reply {
	f.t.Helper()
	var header []string
	for _, p := range proofs {
		header = append(header, "DPoP", p)
	}
	return f.send("/oauth2/token", "", "", redeemsAs("native", code, nativeURI), header...)
}

// TestProofsThatProveNothing sends each with one and the same code, which is still good afterwards.
func TestProofsThatProveNothing(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		f := s.forger()
		code := s.browser().code(asks("native", nativeURI))
		at := func(d time.Duration) members { return members{"iat": s.clock.Now().Add(d).Unix()} }
		key := func(kind string, change members) members {
			k := f.jwk(kind)
			maps.Copy(k, change)
			return members{"jwk": k}
		}
		private, err := jwk.FromRaw(f.keys["EC"])
		if err != nil {
			t.Fatal(err)
		}
		good := f.es256(nil, nil)
		used := f.es256(nil, members{"jti": "used"})
		if r := f.send("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}, "DPoP", used); r.status != http.StatusOK {
			t.Fatalf("a good proof: %d %s", r.status, r.body)
		}
		for name, proofs := range map[string][]string{
			"two headers":                             {f.es256(nil, nil), f.es256(nil, nil)},
			"one header with a comma":                 {f.es256(nil, nil) + "," + f.es256(nil, nil)},
			"an empty header":                         {""},
			"nonsense":                                {"nonsense"},
			"an access token":                         {s.machine("service", serviceSecret).str("access_token")},
			"of another type":                         {f.es256(members{"typ": "JWT"}, nil)},
			"typed as an access token":                {f.es256(members{"typ": "at+jwt"}, nil)},
			"without a type":                          {f.es256(members{"typ": nil}, nil)},
			"for another method":                      {f.es256(nil, members{"htm": "GET"})},
			"for another endpoint":                    {f.es256(nil, members{"htu": s.url + "/oauth2/par"})},
			"for another server":                      {f.es256(nil, members{"htu": "https://other.example.com/oauth2/token"})},
			"for another port":                        {f.es256(nil, members{"htu": "http://127.0.0.1:1/oauth2/token"})},
			"for https":                               {f.es256(nil, members{"htu": strings.Replace(s.url, "http:", "https:", 1) + "/oauth2/token"})},
			"for a path with a slash more":            {f.es256(nil, members{"htu": s.url + "/oauth2/token/"})},
			"for a path in capitals":                  {f.es256(nil, members{"htu": s.url + "/OAUTH2/TOKEN"})},
			"for a path with an escaped slash":        {f.es256(nil, members{"htu": s.url + "/oauth2%2Ftoken"})},
			"for somebody at our host":                {f.es256(nil, members{"htu": strings.Replace(s.url, "//", "//u@", 1) + "/oauth2/token"})},
			"for a path alone":                        {f.es256(nil, members{"htu": "/oauth2/token"})},
			"an hour old":                             {f.es256(nil, at(-time.Hour))},
			"of the next hour":                        {f.es256(nil, at(time.Hour))},
			"two seconds too old":                     {f.es256(nil, at(-2*time.Minute-2*time.Second))},
			"two seconds too early":                   {f.es256(nil, at(32*time.Second))},
			"without a time":                          {f.es256(nil, members{"iat": nil})},
			"without an id":                           {f.es256(nil, members{"jti": nil})},
			"with an id without end":                  {f.es256(nil, members{"jti": strings.Repeat("j", 300)})},
			"of six kilobytes":                        {f.es256(nil, members{"more": strings.Repeat("x", 6<<10)})},
			"used before":                             {used},
			"unsigned":                                {f.proof("EC", "", members{"alg": "none"}, nil)},
			"unsigned, written otherwise":             {f.proof("EC", "", members{"alg": "nOnE"}, nil)},
			"with the signature cut off":              {good[:strings.LastIndexByte(good, '.')+1]},
			"with the signature of another":           {good[:strings.LastIndexByte(good, '.')] + used[strings.LastIndexByte(used, '.'):]},
			"by RS256":                                {f.proof("RSA", jwa.RS256, nil, nil)},
			"by HMAC with a key of both sides":        {f.proof("oct", jwa.HS256, nil, nil)},
			"by HMAC, under the name of ES256":        {f.proof("oct", jwa.HS256, members{"alg": "ES256"}, nil)},
			"by HMAC, with a public key beside":       {f.proof("oct", jwa.HS256, members{"jwk": f.jwk("EC")}, nil)},
			"with a private key":                      {f.es256(members{"jwk": private}, nil)},
			"with another's key":                      {f.es256(members{"jwk": f.jwk("OKP")}, nil)},
			"with a key and the id of one":            {f.es256(members{"kid": "ec"}, nil)},
			"with the id of a key alone":              {f.es256(members{"jwk": nil, "kid": "ec"}, nil)},
			"with the address of keys":                {f.es256(members{"jku": "https://evil.example.com/jwks"}, nil)},
			"with a certificate":                      {f.es256(members{"x5c": []string{"AAAA"}}, nil)},
			"with something critical":                 {f.es256(members{"crit": []string{"b64"}, "b64": false}, nil)},
			"with a weak RSA key":                     {f.proof("RSA", jwa.PS256, key("RSA", members{"e": "AQ"}), nil)},
			"with a point that is not on the curve":   {f.es256(key("EC", members{"x": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}), nil)},
			"a proof for the client's other endpoint": {f.es256(nil, members{"htu": s.url + "/oauth2/userinfo", "htm": "GET"})},
		} {
			t.Run(name, func(t *testing.T) { refused(t, f.redeem(code, proofs...), 400, "invalid_dpop_proof") })
		}
		for name, claims := range map[string]members{
			"as old as may be":             at(-2*time.Minute + 2*time.Second),
			"as early as may be":           at(29 * time.Second),
			"with query and fragment":      {"htu": s.url + "/oauth2/token?tenant=1#here"},
			"with another spelling":        {"htu": strings.Replace(s.url, "http:", "HTTP:", 1) + "/./oauth2/x/../%74oken"},
			"with the id of another's":     {"jti": "used by another key"},
			"with members nobody asks for": {"ath": "of no token", "sub": "me", "nbf": s.clock.Now().Unix(), "exp": s.clock.Now().Unix() + 300},
		} {
			if r := f.send("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}, "DPoP", f.es256(nil, claims)); r.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		if r := f.send("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}, "DPOP", f.es256(members{"tx_id": 7}, nil)); r.status != http.StatusOK {
			t.Errorf("with a member of somebody's own in the header: %d %s", r.status, r.body)
		}
		for kind, alg := range map[string]jwa.SignatureAlgorithm{"RSA": jwa.PS256, "OKP": jwa.EdDSA} {
			if r := f.send("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}, "DPoP", f.proof(kind, alg, nil, nil)); r.status != http.StatusOK {
				t.Errorf("%s: %d %s", alg, r.status, r.body)
			}
		}
		if r := f.redeem(code, good); r.status != http.StatusOK || r.str("token_type") != "DPoP" {
			t.Errorf("after all refusals: %d %s", r.status, r.body)
		}
		if s.logs.contains(good[:40]) || s.logs.contains(used[len(used)-20:]) {
			t.Error("proofs are logged")
		}
	})
}

// TestAProofIsUsedOnce sends one to two replicas, many times at once.
func TestAProofIsUsedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		f := startReplicas(t, st, 2)
		h := f.holder()
		own := url.Values{"grant_type": {"client_credentials"}}
		once := h.proof("POST", "/oauth2/token", "")
		good := 0
		for _, r := range parallel(30, func() reply { return f.send("/oauth2/token", "service", serviceSecret, own, "DPoP", once) }) {
			if r.status == http.StatusOK {
				good++
				continue
			}
			refused(t, r, 400, "invalid_dpop_proof")
		}
		if good != 1 {
			t.Errorf("used %d times", good)
		}
		f.clock.Advance(2*time.Minute - time.Second)
		for range 2 { // once at each
			refused(t, f.send("/oauth2/token", "service", serviceSecret, own, "DPoP", once), 400, "invalid_dpop_proof")
		}
		access := h.native().str("access_token")
		shown := h.proof("GET", "/oauth2/userinfo", access)
		asked := func() reply { return f.get("/oauth2/userinfo", "Authorization", "DPoP "+access, "DPoP", shown) }
		if first := asked(); first.status != http.StatusOK {
			t.Errorf("%d %s", first.status, first.body)
		}
		for range 2 {
			refused(t, asked(), 401, "invalid_dpop_proof")
		}
	})
}

func TestNonces(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, func(cfg *token.Config) { cfg.DPoPNonces = token.NoncesRequired })
		s.seed()
		replica := begin(t, st, "127.0.0.1:0", s.clock, s.logs, func(cfg *token.Config) { cfg.Issuer, cfg.DPoPNonces = s.url, token.NoncesRequired })
		h := s.holder()
		own := url.Values{"grant_type": {"client_credentials"}}
		named := func(nonce, method, path, access string) string {
			proof, err := h.Proof(dpop.Target{Method: method, URL: s.url + path, Nonce: nonce, AccessToken: access})
			if err != nil {
				t.Fatal(err)
			}
			return proof
		}
		asked := func(s *server, nonce string) reply {
			return s.send("/oauth2/token", "service", serviceSecret, own, "DPoP", named(nonce, "POST", "/oauth2/token", ""))
		}
		first := asked(s, "")
		refused(t, first, 400, "use_dpop_nonce")
		nonce := first.header.Get("DPoP-Nonce")
		if r := asked(s, nonce); r.status != http.StatusOK || r.header.Get("DPoP-Nonce") == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		replica.url = replica.at
		if r := asked(replica, nonce); r.status != http.StatusOK {
			t.Errorf("at another replica: %d %s", r.status, r.body)
		}
		s.clock.Advance(2 * time.Minute)
		if r := asked(s, nonce); r.status != http.StatusOK {
			t.Errorf("in the next slot of time: %d %s", r.status, r.body)
		}
		s.clock.Advance(2 * time.Minute)
		again := asked(s, nonce)
		refused(t, again, 400, "use_dpop_nonce")
		if again.header.Get("DPoP-Nonce") == nonce || again.header.Get("DPoP-Nonce") == "" {
			t.Error("no new nonce comes with the refusal of an old one")
		}
		refused(t, asked(s, "nonsense"), 400, "use_dpop_nonce")
		if r := asked(s, ""); r.status != 400 { // nothing was remembered as good for it
			t.Errorf("%d", r.status)
		}
		bound := asked(s, again.header.Get("DPoP-Nonce"))
		if bound.status != http.StatusOK {
			t.Fatalf("%d %s", bound.status, bound.body)
		}
		// A resource asks for it in its challenge.
		code := s.browser().code(asks("web", webCallback))
		access := s.send("/oauth2/token", "web", webSecret, redeems(code, webCallback), "DPoP", named(bound.header.Get("DPoP-Nonce"), "POST", "/oauth2/token", "")).str("access_token")
		without := s.get("/oauth2/userinfo", "Authorization", "DPoP "+access, "DPoP", named("", "GET", "/oauth2/userinfo", access))
		refused(t, without, 401, "use_dpop_nonce")
		if challenge := without.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, `error="use_dpop_nonce"`) {
			t.Errorf("challenge %s", challenge)
		}
		if r := s.get("/oauth2/userinfo", "Authorization", "DPoP "+access, "DPoP", named(without.header.Get("DPoP-Nonce"), "GET", "/oauth2/userinfo", access)); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
		pushed := s.send("/oauth2/par", "web", webSecret, pushes("web", webCallback), "DPoP", named("", "POST", "/oauth2/par", ""))
		refused(t, pushed, 400, "use_dpop_nonce")
	})
}

// TestWhereNoncesAreOffered: a client that knows of them is held to them, one that does not is let in.
func TestWhereNoncesAreOffered(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h := s.holder()
		own := url.Values{"grant_type": {"client_credentials"}}
		proof, err := h.Proof(dpop.Target{Method: "POST", URL: s.url + "/oauth2/token", Nonce: "of another server"})
		if err != nil {
			t.Fatal(err)
		}
		r := s.send("/oauth2/token", "service", serviceSecret, own, "DPoP", proof)
		refused(t, r, 400, "use_dpop_nonce")
		if r.header.Get("DPoP-Nonce") == "" {
			t.Error("no nonce comes with the refusal")
		}
		if r := h.post("/oauth2/token", "service", serviceSecret, own); r.status != http.StatusOK || r.header.Get("DPoP-Nonce") == "" {
			t.Errorf("a proof without one: %d %s", r.status, r.body)
		}
		if r := s.post("/oauth2/token", "service", serviceSecret, own); r.header.Get("DPoP-Nonce") != "" {
			t.Error("a nonce is told to who sends no proofs")
		}
	})
}

// TestWithoutRedisNoProofIsTaken: whether it was used cannot be known, and nothing is spent for it.
func TestWithoutRedisNoProofIsTaken(t *testing.T) {
	db := databases.SQLite(t)
	redis := miniredis.RunT(t)
	s := start(t, stores{func() *sqldb.DB { return db }, redis.Addr()})
	h := s.holder()
	tokens := h.native()
	mine := h.post("/oauth2/token", "web", webSecret, redeems(s.browser().code(asks("web", webCallback)), webCallback))
	redis.Close()
	own := url.Values{"grant_type": {"client_credentials"}}
	for name, r := range map[string]reply{
		"client credentials":      h.post("/oauth2/token", "service", serviceSecret, own),
		"renewing without secret": h.post("/oauth2/token", "", "", renews("native", tokens.str("refresh_token"))),
		"renewing":                h.post("/oauth2/token", "web", webSecret, renews("", mine.str("refresh_token"))),
		"UserInfo":                h.userinfo(tokens.str("access_token")),
	} {
		t.Run(name, func(t *testing.T) { refused(t, r, 503, "temporarily_unavailable") })
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, r := range []reply{
		h.post("/oauth2/token", "", "", renews("native", tokens.str("refresh_token"))),
		h.post("/oauth2/token", "web", webSecret, renews("", mine.str("refresh_token"))), h.userinfo(tokens.str("access_token")),
	} {
		if r.status != http.StatusOK {
			t.Errorf("afterwards: %d %s", r.status, r.body)
		}
	}
}

// TestProofsOfStrangersAreBounded: whoever names a public client can have proofs remembered, but not any number.
func TestProofsOfStrangersAreBounded(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		h := s.holder()
		if err := s.redis.Set(t.Context(), "rgt:{attempts}:dpop:127.0.0.1", "5000", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		r := h.post("/oauth2/token", "", "", renews("native", "grt_x.1.y"))
		refused(t, r, 429, "slow_down")
		if r := h.post("/oauth2/token", "service", serviceSecret, url.Values{"grant_type": {"client_credentials"}}); r.status != http.StatusOK {
			t.Errorf("a client that authenticates: %d %s", r.status, r.body)
		}
	})
}
