package meshtest

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh/dpop"
)

// BadCredential is a value, or values, of the authorization metadata that nobody may be let in with.
type BadCredential struct {
	Name          string
	Authorization []string
}

// BadCredentials returns every class of forged, foreign, misused, expired or malformed credential. But for what its name
// says, each would pass: the claims are those of a platform admin with every right.
func (iss *Issuer) BadCredentials(t testing.TB) []BadCredential {
	t.Helper()
	f := &forger{t: t, iss: iss, own: newKey(t)}
	f.credentials()
	f.algorithms()
	f.keyMaterial()
	f.ambiguities()
	f.forms()
	f.sealed()
	f.misused()
	f.bound()
	f.times()
	return f.bad
}

// forger collects credentials.
type forger struct {
	t   testing.TB
	iss *Issuer
	// own is a key that the issuer has never published.
	own *ecdsa.PrivateKey
	bad []BadCredential
}

func (f *forger) add(name, token string) {
	f.bad = append(f.bad, BadCredential{name, []string{"Bearer " + token}})
}

func powerful() Claims {
	return Claims{
		Subject: "u-admin", ClientID: "web", Roles: []string{"REALGUARDIO_ADMIN"}, AuthTime: time.Now(),
		Scopes: strings.Fields("admin customer.read customer.write securitysystem.read securitysystem.arm securitysystem.disarm"),
	}
}

// token is a good token but for what over and header change.
func (f *forger) token(over, header map[string]any) string {
	c := powerful()
	c.Extra, c.Header = over, header
	return f.iss.Token(f.t, c)
}

// signed is what a good token with this header would sign.
func (f *forger) signed(header map[string]any) string {
	f.t.Helper()
	s, err := join(f.iss.header(header), f.iss.payload(powerful()))
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *forger) sign(key *ecdsa.PrivateKey, signed string) string {
	f.t.Helper()
	token, err := signES256(key, signed)
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

type m = map[string]any

func (f *forger) credentials() {
	good := "Bearer " + f.token(nil, nil)
	for name, values := range map[string][]string{
		"no credential":                   nil,
		"an empty credential":             {""},
		"a bare scheme":                   {"Bearer"},
		"an empty token":                  {"Bearer "},
		"another scheme":                  {"Basic dXNlcjpwYXNzd29yZA=="},
		"a token without scheme":          {strings.TrimPrefix(good, "Bearer ")},
		"the same credential twice":       {good, good},
		"a second, bad credential":        {good, "Bearer x"},
		"a first, bad credential":         {"Bearer x", good},
		"two credentials with a comma":    {good + "," + good},
		"a credential longer than 8 KB":   {good + strings.Repeat("A", 8<<10)},
		"something that is no token":      {"Bearer x"},
		"a token and something behind it": {good + " x"},
	} {
		f.bad = append(f.bad, BadCredential{name, values})
	}
}

func (f *forger) algorithms() {
	for _, alg := range []any{"none", "None", "nOnE", nil, "", 7} {
		unsigned := f.signed(m{"alg": alg})
		f.add("alg none: "+text(alg), unsigned+".")
		f.add("alg none with a signature: "+text(alg), f.sign(f.iss.signer().key, unsigned))
	}
	for name, secret := range f.publicForms() {
		signed := f.signed(m{"alg": "HS256"})
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		f.add("HS256 with the public key as "+name, signed+"."+encode64(mac.Sum(nil)))
	}
	for _, alg := range []string{"RS256", "PS256", "ES384", "ES512", "EdDSA", "HS256", "es256", "PBES2-HS256+A128KW", "dir"} {
		f.add("an ES256 signature called "+alg, f.token(nil, m{"alg": alg, "p2c": 1 << 31, "enc": "A256GCM"}))
	}
}

// publicForms are what verifiers were brought to use as the secret of an HMAC.
func (f *forger) publicForms() map[string][]byte {
	f.t.Helper()
	public := f.iss.signer().key.Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		f.t.Fatalf("encode key: %v", err)
	}
	return map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"DER": der,
		"JWK": f.jwk(public),
	}
}

func (f *forger) jwk(public any) []byte {
	f.t.Helper()
	key, err := jwk.FromRaw(public)
	if err != nil {
		f.t.Fatalf("make JWK: %v", err)
	}
	raw, err := json.Marshal(key)
	if err != nil {
		f.t.Fatalf("encode JWK: %v", err)
	}
	return raw
}

func (f *forger) keyMaterial() {
	own := json.RawMessage(f.jwk(f.own.Public()))
	cert := f.iss.CA.Certificate(f.t, "token")
	for name, header := range map[string]m{
		"a key of its own":                nil,
		"a key in jwk":                    {"jwk": own},
		"a key at jku":                    {"jku": "http://127.0.0.1:1/jwks"},
		"a certificate at x5u":            {"x5u": "http://127.0.0.1:1/cert"},
		"a certificate in x5c":            {"x5c": []string{encode64(cert.Certificate[0])}},
		"a kid that nobody has":           {"kid": "other"},
		"a kid that is a path":            {"kid": "../../../../dev/null"},
		"a kid that is SQL":               {"kid": "' UNION SELECT 'key' --"},
		"a kid that is a URL":             {"kid": "http://127.0.0.1:1/key"},
		"a kid with NUL":                  {"kid": "key\x00"},
		"a kid of 5 KB":                   {"kid": strings.Repeat("k", 5<<10)},
		"no kid":                          {"kid": nil},
		"a kid that is a number":          {"kid": 1},
		"a kid that is a list of strings": {"kid": []string{f.iss.KeyID()}},
	} {
		f.add("signed by a stranger, with "+name, f.sign(f.own, f.signed(header)))
		if name != "a key of its own" {
			f.add("signed by the issuer, with "+name, f.token(nil, header))
		}
	}
	f.add("crit that nobody understands", f.token(nil, m{"crit": []string{"exp"}}))
	f.add("crit b64", f.token(nil, m{"crit": []string{"b64"}, "b64": false}))
	f.add("b64 without crit", f.token(nil, m{"b64": false}))
}

func (f *forger) ambiguities() {
	header, _ := json.Marshal(f.iss.header(nil))
	payload, _ := json.Marshal(f.iss.payload(powerful()))
	again := func(object []byte, member string) []byte {
		return []byte(strings.TrimSuffix(string(object), "}") + "," + member + "}")
	}
	for name, p := range map[string][2][]byte{
		"two alg":                     {again(header, `"alg":"ES256"`), payload},
		"two typ":                     {again(header, `"typ":"at+jwt"`), payload},
		"two sub":                     {header, again(payload, `"sub":"u-other"`)},
		"two sub, one escaped":        {header, again(payload, `"\u0073ub":"u-other"`)},
		"two roles":                   {header, again(payload, `"roles":["ADMIN"]`)},
		"two members inside a member": {header, again(payload, `"act":{"sub":"a","sub":"b"}`)},
		"two members inside a list":   {header, again(payload, `"x":[{"a":1,"a":2}]`)},
		"bad UTF-8":                   {header, again(payload, "\"x\":\"\xff\"")},
		"two objects":                 {header, append(payload, "{}"...)},
		"a list for a payload":        {header, []byte("[]")},
		"a payload that is no JSON":   {header, []byte("{")},
		"an empty payload":            {header, nil},
		"SUB for sub":                 {header, []byte(strings.Replace(string(payload), `"sub"`, `"SUB"`, 1))},
	} {
		f.add(name, f.sign(f.iss.signer().key, encode64(p[0])+"."+encode64(p[1])))
	}
}

func (f *forger) forms() {
	good := f.token(nil, nil)
	parts := strings.Split(good, ".")
	other := strings.Split(f.iss.Token(f.t, Claims{Subject: "u-other"}), ".")
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])
	for name, token := range map[string]string{
		"thousands of dots":             strings.Repeat(".", 4000),
		"the five parts of a JWE":       good + ".AAAA.AAAA",
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"no third part":                 parts[0] + "." + parts[1],
		"a signature cut short":         good[:len(good)-4],
		"a signature of zeros":          parts[0] + "." + parts[1] + "." + encode64(make([]byte, 64)),
		"a signature in ASN.1":          parts[0] + "." + parts[1] + "." + encode64(append([]byte{0x30, 0x44}, make([]byte, 68)...)),
		"another token's signature":     parts[0] + "." + parts[1] + "." + other[2],
		"another token's payload":       parts[0] + "." + other[1] + "." + parts[2],
		"padding":                       good + "==",
		"stray bits behind a signature": good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last^1]),
		"JSON serialization":            `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"two signatures":                good + "." + parts[2],
		"two signatures in JSON":        `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"},{"protected":"` + parts[0] + `","signature":"AAAA"}]}`,
	} {
		f.add(name, token)
	}
}

// sealed are tokens that would have to be decrypted (RFC 7516, section 3): whoever has a public key can make one. Some are
// right in every way, to the issuer's own key, so that who decrypts at all would find what is inside.
func (f *forger) sealed() {
	for name, inner := range map[string]string{
		"a good token":      f.token(nil, nil),
		"an unsigned token": f.signed(m{"alg": "none"}) + ".",
		"a bomb":            strings.Repeat("\x00", 2<<20),
	} {
		for _, alg := range []jwa.KeyEncryptionAlgorithm{jwa.ECDH_ES, jwa.ECDH_ES_A256KW} {
			f.add("encrypted to the issuer by "+alg.String()+": "+name, f.encrypt(alg, inner))
		}
	}
	f.unopened()
}

// encrypt is a JWE to the key that the issuer publishes, compressed.
func (f *forger) encrypt(alg jwa.KeyEncryptionAlgorithm, inner string) string {
	f.t.Helper()
	header := jwe.NewHeaders()
	for name, value := range (m{"typ": "at+jwt", "cty": "JWT", "kid": f.iss.KeyID()}) {
		if err := header.Set(name, value); err != nil {
			f.t.Fatalf("set %s: %v", name, err)
		}
	}
	out, err := jwe.Encrypt([]byte(inner), jwe.WithKey(alg, f.iss.signer().key.Public()), jwe.WithContentEncryption(jwa.A256GCM),
		jwe.WithCompress(jwa.Deflate), jwe.WithProtectedHeaders(header))
	if err != nil {
		f.t.Fatalf("encrypt: %v", err)
	}
	return string(out)
}

// unopened are of the form alone: what stands in them for a key would have to be refused, or worked at, before anything
// could be found out.
func (f *forger) unopened() {
	var bomb bytes.Buffer
	packed, err := flate.NewWriter(&bomb, flate.BestCompression)
	if err == nil {
		_, err = packed.Write(make([]byte, 2<<20))
	}
	if err = errors.Join(err, packed.Close()); err != nil {
		f.t.Fatalf("pack: %v", err)
	}
	inner := f.signed(m{"alg": "none"}) + "."
	for name, parts := range map[string]struct {
		header  m
		key     []byte
		content []byte
	}{
		"an unsigned token":              {m{"alg": "RSA-OAEP-256", "cty": "JWT"}, make([]byte, 256), []byte(inner)},
		"a good token":                   {m{"alg": "RSA-OAEP-256", "cty": "JWT"}, make([]byte, 256), []byte(f.token(nil, nil))},
		"a bomb":                         {m{"alg": "dir", "zip": "DEF"}, nil, bomb.Bytes()},
		"an empty key":                   {m{"alg": "RSA1_5"}, nil, []byte(inner)},
		"a key of no length":             {m{"alg": "dir", "enc": "none"}, nil, []byte(inner)},
		"a password with endless rounds": {m{"alg": "PBES2-HS256+A128KW", "p2c": 1 << 31, "p2s": "AAAA"}, make([]byte, 24), []byte(inner)},
	} {
		maps.Copy(parts.header, m{"typ": "at+jwt", "kid": f.iss.KeyID()})
		if parts.header["enc"] == nil {
			parts.header["enc"] = "A256GCM"
		}
		header, _ := json.Marshal(parts.header)
		f.add("encrypted: "+name, strings.Join([]string{encode64(header), encode64(parts.key), encode64(make([]byte, 12)),
			encode64(parts.content), encode64(make([]byte, 16))}, "."))
	}
}

func (f *forger) misused() {
	for _, typ := range []any{"JWT", "jwt", nil, "", "logout+jwt", "dpop+jwt", "secevent+jwt", "rt+jwt", "at+jwt2", 1} {
		f.add("typ "+text(typ), f.token(nil, m{"typ": typ}))
	}
	f.add("an ID token", f.token(m{"aud": "web", "nonce": "n", "client_id": nil, "scope": nil}, m{"typ": "JWT"}))
	f.add("a client assertion", f.token(m{"iss": "web", "sub": "web", "aud": f.iss.URL}, m{"typ": "JWT"}))
	for _, issuer := range []any{"https://evil.example", f.iss.URL + "/", strings.ToUpper(f.iss.URL), nil, "", []string{f.iss.URL}} {
		f.add("iss "+text(issuer), f.token(m{"iss": issuer}, nil))
	}
	for _, aud := range []any{"urn:other", nil, "", []string{}, []string{"urn:other"}, Audience + "2", strings.ToUpper(Audience), m{Audience: 1}} {
		f.add("aud "+text(aud), f.token(m{"aud": aud}, nil))
	}
	for _, name := range []string{"sub", "client_id", "jti", "iat", "exp"} {
		f.add("no "+name, f.token(m{name: nil}, nil))
		f.add("a list for "+name, f.token(m{name: []string{"x"}}, nil))
	}
	for _, caller := range []any{"admin", "client", "workload", "", 1, []string{"user"}} {
		f.add("caller "+text(caller)+" for a person", f.token(m{"caller": caller}, nil))
	}
	f.add("roles that are no list", f.token(m{"roles": "REALGUARDIO_ADMIN"}, nil))
	f.add("a scope that is a list", f.token(m{"scope": []string{"admin"}}, nil))
}

// bound are tokens that are good for the holder of a key, who is somebody else, and proofs that are no tokens.
func (f *forger) bound() {
	key, err := dpop.GenerateKey()
	if err != nil {
		f.t.Fatal(err)
	}
	proof, err := key.Proof(dpop.Target{Method: "POST", URL: f.iss.URL})
	if err != nil {
		f.t.Fatal(err)
	}
	byKey := f.token(m{"cnf": m{"jkt": key.Thumbprint()}}, nil)
	f.add("a proof of DPoP", proof)
	f.add("a token bound to a key, as a bearer token", byKey)
	f.bad = append(f.bad,
		BadCredential{"a token bound to a key, without its proof", []string{"DPoP " + byKey}},
		BadCredential{"a token that is not bound, as one that is", []string{"DPoP " + f.token(nil, nil)}},
		BadCredential{"a token bound to a key as DPoP and as a bearer token", []string{"DPoP " + byKey, "Bearer " + byKey}})
	digest := sha256.Sum256(f.iss.CA.Certificate(f.t, "gateway").Certificate[0])
	f.add("a token bound to another certificate", f.token(m{"cnf": m{"x5t#S256": encode64(digest[:])}}, nil))
	for _, cnf := range []any{m{}, m{"jkt": "x"}, m{"jwk": m{}}, m{"jkt": key.Thumbprint(), "x5t#S256": encode64(digest[:])}, "x", []string{}} {
		f.add("bound by "+text(cnf), f.token(m{"cnf": cnf}, nil))
	}
}

func (f *forger) times() {
	now := time.Now()
	for name, over := range map[string]m{
		"expired an hour ago":         {"exp": now.Add(-time.Hour).Unix()},
		"expired beyond the leeway":   {"exp": now.Add(-40 * time.Second).Unix()},
		"not valid for an hour":       {"nbf": now.Add(time.Hour).Unix()},
		"issued in an hour":           {"iat": now.Add(time.Hour).Unix()},
		"an expiry that is text":      {"exp": "never"},
		"an expiry that is null":      {"exp": json.RawMessage("null")},
		"an expiry that overflows":    {"exp": json.RawMessage("1e300")},
		"an expiry before the epoch":  {"exp": -1},
		"an expiry in milliseconds":   {"exp": now.Add(time.Hour).UnixMilli() * 1000},
		"an epoch that is a fraction": {"epoch": 1.5},
	} {
		f.add(name, f.token(over, nil))
	}
}

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return rand.Text()
	}
	return string(raw)
}
