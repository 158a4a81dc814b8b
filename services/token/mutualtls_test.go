package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/cert"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// mutual is a token service that asks programs for certificates, at an origin of its own.
type mutual struct {
	*server
	ca     *meshtest.CA
	origin string
}

func startMutual(t *testing.T, st stores, change ...func(*token.Config)) *mutual {
	t.Helper()
	m := &mutual{ca: meshtest.NewCA(t)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.origin = "https://" + listener.Addr().String()
	change = append([]func(*token.Config){func(cfg *token.Config) {
		cfg.MutualTLS = token.MutualTLS{Origin: m.origin, Authorities: m.ca.Client(t, "").RootCAs}
	}}, change...)
	m.server = begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, change...)
	m.seed()
	web := &http.Server{Handler: m.MutualTLSHandler(), ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{m.ca.Certificate(t, "token")}, ClientAuth: tls.RequestClientCert,
	}}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.ServeTLS(listener, "", "") })
	t.Cleanup(func() { _ = web.Close(); serving.Wait() })
	return m
}

// with is a client that shows a certificate; none if it has none.
func (m *mutual) with(certificate tls.Certificate) *http.Client {
	config := m.ca.Client(m.t, "")
	if certificate.PrivateKey != nil {
		config.Certificates = []tls.Certificate{certificate}
	}
	transport := &http.Transport{TLSClientConfig: config}
	m.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: plain.CheckRedirect}
}

// at posts a form where certificates are shown.
func (m *mutual) at(certificate tls.Certificate, path string, form url.Values, header ...string) reply {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, m.origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return m.do(m.with(certificate), r)
}

// named is a certificate of the trusted authority with a name of each kind.
func named(t *testing.T, ca *meshtest.CA, change ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:        pkix.Name{CommonName: "reports, daily", Organization: []string{"Example"}, Country: []string{"US"}},
		URIs:           []*url.URL{{Scheme: "urn", Opaque: "example:reports"}},
		EmailAddresses: []string{"reports@example.com"},
	}
	for _, c := range change {
		c(template)
	}
	return ca.Issue(t, template, "reports.example.com")
}

// selfMade is a certificate that no authority has issued.
func selfMade(t *testing.T, change ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "reports"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// certificateSet is a JWK Set of a key with a certificate.
func certificateSet(t *testing.T, key crypto.PublicKey, certificate *x509.Certificate) string {
	t.Helper()
	public, err := jwk.FromRaw(key)
	if err != nil {
		t.Fatal(err)
	}
	if certificate != nil {
		chain := &cert.Chain{}
		_ = chain.AddString(base64.StdEncoding.EncodeToString(certificate.Raw))
		_ = public.Set(jwk.X509CertChainKey, chain)
	}
	set := jwk.NewSet()
	_ = set.AddKey(public)
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// thumbprint is how a token names a certificate.
func thumbprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func certificateOf(t *testing.T, access string) string {
	t.Helper()
	confirmation, _ := claims(t, access)["cnf"].(map[string]any)
	x5t, _ := confirmation["x5t#S256"].(string)
	return x5t
}

// certified registers a client that authenticates by a certificate, and whose tokens are bound to it.
func (m *mutual) certified(id string, auth oauth.TLSAuth, jwks string) {
	m.t.Helper()
	if _, err := m.EnsureClient(m.t.Context(), token.ClientSpec{ID: id, Name: "Reports", TLSAuth: auth, JWKS: jwks, CertificateBoundTokens: true,
		Grants: []string{"client_credentials"}, Scopes: []string{"securitysystem.read"}}); err != nil {
		m.t.Fatal(err)
	}
}

func credentialsOf(client string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {client}}
}

func TestAClientProvesItselfByACertificate(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		m := startMutual(t, st)
		good := named(t, m.ca)
		for _, tt := range []struct {
			name  string
			auth  oauth.TLSAuth
			other func(*x509.Certificate) // what the certificate of somebody else says
		}{
			{"subject", oauth.TLSAuth{By: oauth.BySubjectDN, Name: `CN=reports\, daily,O=Example,C=US`}, func(c *x509.Certificate) { c.Subject.Organization = []string{"Evil"} }},
			{"subject, written otherwise", oauth.TLSAuth{By: oauth.BySubjectDN, Name: `cn=reports\2C daily, 2.5.4.10=Example , C=US`}, func(c *x509.Certificate) { c.Subject.CommonName = "Reports, Daily" }},
			{"subject, in part", oauth.TLSAuth{By: oauth.BySubjectDN, Name: `CN=reports\, daily,O=Example,C=US`}, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"More"} }},
			{"URI", oauth.TLSAuth{By: oauth.BySANURI, Name: "urn:example:reports"}, func(c *x509.Certificate) { c.URIs[0].Opaque = "example:other" }},
			{"email", oauth.TLSAuth{By: oauth.BySANEmail, Name: "reports@example.com"}, func(c *x509.Certificate) { c.EmailAddresses = []string{"other@example.com"} }},
		} {
			t.Run(tt.name, func(t *testing.T) {
				id := "by." + strings.NewReplacer(" ", "", ",", "").Replace(tt.name)
				m.certified(id, tt.auth, "")
				if r := m.at(good, "/oauth2/token", credentialsOf(id)); r.status != http.StatusOK || certificateOf(t, r.str("access_token")) != thumbprint(good) || r.str("token_type") != "Bearer" {
					t.Errorf("%d %s", r.status, r.body)
				}
				refused(t, m.at(named(t, m.ca, tt.other), "/oauth2/token", credentialsOf(id)), 401, "invalid_client")
			})
		}
		m.certified("by.dns", oauth.TLSAuth{By: oauth.BySANDNS, Name: "Reports.example.com"}, "")
		m.certified("by.ip", oauth.TLSAuth{By: oauth.BySANIP, Name: "::ffff:127.0.0.1"}, "")
		for _, id := range []string{"by.dns", "by.ip"} {
			if r := m.at(good, "/oauth2/token", credentialsOf(id)); r.status != http.StatusOK {
				t.Errorf("%s: %d %s", id, r.status, r.body)
			}
		}
		refused(t, m.at(m.ca.Certificate(t, "other.example.com"), "/oauth2/token", credentialsOf("by.dns")), 401, "invalid_client")
	})
}

// TestCertificatesThatProveNothing: whoever shows one, that is not yet to be the client.
func TestCertificatesThatProveNothing(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		m := startMutual(t, st)
		m.certified("reports", oauth.TLSAuth{By: oauth.BySANDNS, Name: "reports.example.com"}, "")
		own := selfMade(t)
		m.certified("own", oauth.TLSAuth{By: oauth.BySelfSigned}, certificateSet(t, own.Leaf.PublicKey, own.Leaf))
		old := selfMade(t, expired)
		m.certified("old", oauth.TLSAuth{By: oauth.BySelfSigned}, certificateSet(t, old.Leaf.PublicKey, old.Leaf))
		good := named(t, m.ca)
		if r := m.at(own, "/oauth2/token", credentialsOf("own")); r.status != http.StatusOK || certificateOf(t, r.str("access_token")) != thumbprint(own) {
			t.Errorf("one that the client registered: %d %s", r.status, r.body)
		}
		forged := ":" + base64.StdEncoding.EncodeToString(good.Leaf.Raw) + ":"
		for _, tt := range []struct {
			name   string
			client string
			shown  tls.Certificate
			header []string
		}{
			{"none", "reports", tls.Certificate{}, nil},
			{"of another authority", "reports", named(t, meshtest.NewCA(t)), nil},
			{"of no authority", "reports", selfMade(t, func(c *x509.Certificate) { c.DNSNames = []string{"reports.example.com"} }), nil},
			{"expired", "reports", named(t, m.ca, expired), nil},
			{"in a header that anybody can send", "reports", tls.Certificate{}, []string{"Client-Cert", forged}},
			{"in a header beside another", "reports", own, []string{"Client-Cert", forged, "X-Client-Cert", forged, "X-Forwarded-Client-Cert", forged}},
			{"registered by another client", "own", old, nil},
			{"with the same name as the registered one", "own", selfMade(t), nil},
			{"trusted, but not registered", "own", good, nil},
			{"registered and expired", "old", old, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				refused(t, m.at(tt.shown, "/oauth2/token", credentialsOf(tt.client), tt.header...), 401, "invalid_client")
			})
		}
		t.Run("a year later", func(t *testing.T) {
			m.clock.Advance(2 * time.Hour)
			refused(t, m.at(good, "/oauth2/token", credentialsOf("reports")), 401, "invalid_client")
			refused(t, m.at(own, "/oauth2/token", credentialsOf("own")), 401, "invalid_client")
			m.clock.Advance(-2 * time.Hour)
		})
		t.Run("a client goes by its certificate alone", func(t *testing.T) {
			for _, secret := range []string{"", "x"} {
				refused(t, m.post("/oauth2/token", "reports", secret, credentialsOf("reports")), 401, "invalid_client")
			}
			form := credentialsOf("reports")
			form.Set("client_secret", "x")
			refused(t, m.at(good, "/oauth2/token", form), 401, "invalid_client")
			refused(t, m.at(own, "/oauth2/token", credentialsOf("web")), 401, "invalid_client")
		})
		t.Run("a client whose tokens are bound asks with its certificate", func(t *testing.T) {
			if _, err := m.EnsureClient(t.Context(), token.ClientSpec{ID: "half", Name: "Half", Secret: serviceSecret, CertificateBoundTokens: true,
				Grants: []string{"client_credentials"}, Scopes: []string{"securitysystem.read"}}); err != nil {
				t.Fatal(err)
			}
			form := credentialsOf("half")
			form.Set("client_secret", serviceSecret)
			refused(t, m.post("/oauth2/token", "", "", form), 400, "invalid_request")
			refused(t, m.at(old, "/oauth2/token", form), 400, "invalid_request")
			refused(t, m.at(own, "/oauth2/token", form, "DPoP", m.holder().proof("POST", "/oauth2/token", "")), 400, "invalid_request")
			if r := m.at(own, "/oauth2/token", form); r.status != http.StatusOK || certificateOf(t, r.str("access_token")) != thumbprint(own) {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	})
}

func TestATokenIsBoundToACertificate(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		m := startMutual(t, st)
		own, other := selfMade(t), selfMade(t)
		if _, err := m.EnsureClient(t.Context(), token.ClientSpec{ID: "app", Name: "App", Public: true, FirstParty: true, CertificateBoundTokens: true,
			Grants: codeGrants, RedirectURIs: []string{nativeURI}, Scopes: []string{"openid", "email"}}); err != nil {
			t.Fatal(err)
		}
		code := m.browser().code(asks("app", nativeURI, "scope", "openid email"))
		refused(t, m.post("/oauth2/token", "", "", redeemsAs("app", code, nativeURI)), 400, "invalid_request")
		first := m.at(own, "/oauth2/token", redeemsAs("app", code, nativeURI))
		if first.status != http.StatusOK || certificateOf(t, first.str("access_token")) != thumbprint(own) {
			t.Fatalf("%d %s", first.status, first.body)
		}
		bearer := "Bearer " + first.str("access_token")
		if r := m.at(own, "/oauth2/userinfo", nil, "Authorization", bearer); r.status != http.StatusOK || r.str("email") != alice {
			t.Errorf("%d %s", r.status, r.body)
		}
		forged := ":" + base64.StdEncoding.EncodeToString(own.Leaf.Raw) + ":"
		for name, r := range map[string]reply{
			"with another certificate":            m.at(other, "/oauth2/userinfo", nil, "Authorization", bearer),
			"with none":                           m.at(tls.Certificate{}, "/oauth2/userinfo", nil, "Authorization", bearer),
			"with one in a header":                m.at(other, "/oauth2/userinfo", nil, "Authorization", bearer, "Client-Cert", forged),
			"where no certificates are asked for": m.get("/oauth2/userinfo", "Authorization", bearer, "Client-Cert", forged, "X-Client-Cert", forged),
			"by DPoP":                             m.get("/oauth2/userinfo", "Authorization", "DPoP "+first.str("access_token"), "DPoP", m.holder().proof("GET", "/oauth2/userinfo", first.str("access_token"))),
		} {
			t.Run(name, func(t *testing.T) { refused(t, r, 401, "invalid_token") })
		}
		said := m.post("/oauth2/introspect", "customer", serviceSecret, url.Values{"token": {first.str("access_token")}})
		if cnf, _ := said.json["cnf"].(map[string]any); cnf["x5t#S256"] != thumbprint(own) || said.str("token_type") != "Bearer" {
			t.Errorf("introspection: %s", said.body)
		}
		refused(t, m.at(other, "/oauth2/token", renews("app", first.str("refresh_token"))), 400, "invalid_grant")
		second := m.at(own, "/oauth2/token", renews("app", first.str("refresh_token")))
		if second.status != http.StatusOK || certificateOf(t, second.str("access_token")) != thumbprint(own) {
			t.Errorf("renewing: %d %s", second.status, second.body)
		}
	})
}

// TestAProxyTellsOfCertificates has the test itself be the proxy, or somebody else.
func TestAProxyTellsOfCertificates(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		ca := meshtest.NewCA(t)
		behind := func(network string) *server {
			s := begin(t, st, "127.0.0.1:0", &clock{}, &logs{}, func(cfg *token.Config) {
				cfg.MutualTLS = token.MutualTLS{Origin: "https://mtls.example.com", Authorities: ca.Client(t, "").RootCAs, Proxies: []netip.Prefix{netip.MustParsePrefix(network)}}
			})
			s.seed()
			m := &mutual{server: s}
			m.certified("reports", oauth.TLSAuth{By: oauth.BySANDNS, Name: "reports.example.com"}, "")
			return s
		}
		trusted, strange := behind("127.0.0.0/8"), behind("10.0.0.0/8")
		good := named(t, ca)
		encoded := ":" + base64.StdEncoding.EncodeToString(good.Leaf.Raw) + ":"
		asked := func(s *server, header ...string) reply {
			return s.send("/oauth2/token", "", "", credentialsOf("reports"), header...)
		}
		if r := asked(trusted, "Client-Cert", encoded, "Client-Cert-Chain", encoded+", "+encoded); r.status != http.StatusOK || certificateOf(t, r.str("access_token")) != thumbprint(good) {
			t.Errorf("%d %s", r.status, r.body)
		}
		refused(t, asked(strange, "Client-Cert", encoded), 401, "invalid_client")
		refused(t, asked(trusted), 401, "invalid_client")
		refused(t, asked(trusted, "X-Client-Cert", encoded), 401, "invalid_client")
		for name, header := range map[string][]string{
			"two":                    {"Client-Cert", encoded, "Client-Cert", encoded},
			"two in one":             {"Client-Cert", encoded + ", " + encoded},
			"no byte sequence":       {"Client-Cert", strings.Trim(encoded, ":")},
			"PEM":                    {"Client-Cert", "-----BEGIN CERTIFICATE-----"},
			"no certificate":         {"Client-Cert", ":AAAA:"},
			"a chain alone":          {"Client-Cert-Chain", encoded},
			"a chain of nonsense":    {"Client-Cert", encoded, "Client-Cert-Chain", ":AAAA:"},
			"a chain without end":    {"Client-Cert", encoded, "Client-Cert-Chain", strings.TrimSuffix(strings.Repeat(encoded+",", 9), ",")},
			"more than is looked at": {"Client-Cert", ":" + strings.Repeat("A", 20<<10) + ":"},
		} {
			t.Run(name, func(t *testing.T) { refused(t, asked(trusted, header...), 400, "invalid_request") })
		}
	})
}

func TestWhereCertificatesAreShown(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		m := startMutual(t, st)
		said := m.get("/.well-known/openid-configuration")
		aliases, _ := said.json["mtls_endpoint_aliases"].(map[string]any)
		if aliases["token_endpoint"] != m.origin+"/oauth2/token" || len(aliases) != 6 || said.json["tls_client_certificate_bound_access_tokens"] != true ||
			!strings.Contains(said.body, `"tls_client_auth"`) || !strings.Contains(said.body, `"self_signed_tls_client_auth"`) {
			t.Errorf("discovery: %s", said.body)
		}
		for _, path := range []string{"/login", "/oauth2/authorize", "/account", "/", "/.well-known/openid-configuration"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.do(m.with(tls.Certificate{}), r); got.status != http.StatusNotFound {
				t.Errorf("%s is there: %d", path, got.status)
			}
		}
		// A proof may name either origin.
		h := m.holder()
		form := credentialsOf("service")
		form.Set("client_secret", serviceSecret)
		elsewhere := holder{&server{t: t, url: m.origin, logs: m.logs}, h.Key}
		for _, from := range []holder{h, elsewhere} {
			if r := m.at(tls.Certificate{}, "/oauth2/token", form, "DPoP", from.proof("POST", "/oauth2/token", "")); r.status != http.StatusOK {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		without := start(t, st).get("/.well-known/openid-configuration")
		if without.json["mtls_endpoint_aliases"] != nil || without.json["tls_client_certificate_bound_access_tokens"] != false || strings.Contains(without.body, "tls_client_auth\"") {
			t.Errorf("without: %s", without.body)
		}
	})
}
