package gateway_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/gateway"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// grpcOrigin is where native clients reach these gateways by their configuration; they listen elsewhere.
const grpcOrigin = "https://grpc.example.com"

const getSystem = "/realguardio.securitysystem.v1.SecuritySystemService/GetSecuritySystem"

// prover is a gateway that gets tokens of its own for bound ones, and one client's key.
type prover struct {
	*gate
	key       *dpop.Key
	exchanger *meshtest.Exchanger
}

func (w *world) prover(t *testing.T, change ...func(*gateway.Config)) *prover {
	t.Helper()
	config := w.idp.CA.Client(t, "gateway")
	p := &prover{exchanger: w.idp.Exchanger(t, "gateway")}
	exchanges, err := mesh.NewExchanges(mesh.ExchangesConfig{Exchanger: p.exchanger, Revocations: w.revoked, Logger: meshtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if p.key, err = dpop.GenerateKey(); err != nil {
		t.Fatal(err)
	}
	dial := func(by mesh.Propagation) *grpc.ClientConn {
		conn, err := mesh.Dial(mesh.DialConfig{Target: w.server.Addr, TLS: config, Propagation: by, Logger: meshtest.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	p.gate = w.gateway(t, append([]func(*gateway.Config){func(c *gateway.Config) {
		c.Backends[0].Conn, c.Backends[0].Forward = dial(mesh.PerCallBound(exchanges)), dial(mesh.ForwardBound(exchanges))
		c.Origins.GRPC = []string{grpcOrigin}
	}}, change...)...)
	return p
}

func (p *prover) bound(t *testing.T, c meshtest.Claims) string {
	t.Helper()
	c.Extra = map[string]any{"cnf": map[string]any{"jkt": p.key.Thumbprint()}}
	return p.idp.Token(t, c)
}

func (p *prover) proof(t *testing.T, key *dpop.Key, target dpop.Target) string {
	t.Helper()
	proof, err := key.Proof(target)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// nonce asks the gateway for one, as clients do: by a request without.
func (p *prover) nonce(t *testing.T, token string) string {
	t.Helper()
	proof := p.proof(t, p.key, dpop.Target{Method: "GET", URL: p.url + "/api/v1/securitysystems", AccessToken: token})
	r := p.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 401, "USE_DPOP_NONCE")
	if challenge := r.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, `error="use_dpop_nonce"`) {
		t.Errorf("WWW-Authenticate: %s", challenge)
	}
	nonce := r.Header.Get("DPoP-Nonce")
	if nonce == "" {
		t.Fatal("no nonce came")
	}
	return nonce
}

func byDPoP(token, proof string) header {
	return header{"Authorization": "DPoP " + token, "DPoP": proof}
}

// native calls a unary or streaming method with a token and proofs.
func native(ctx context.Context, conn grpc.ClientConnInterface, method, authorization string, proofs ...string) (trailer metadata.MD, err error) {
	ctx = metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": {authorization}, "dpop": proofs})
	if method != chat {
		err = conn.Invoke(ctx, method, &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "sys_1"}, &emptypb.Empty{}, grpc.Trailer(&trailer))
		return trailer, err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return nil, err
	}
	err = stream.RecvMsg(&emptypb.Empty{})
	return stream.Trailer(), err
}

var mary = meshtest.Claims{Subject: "u-mary", TokenID: "t-mary", Scopes: []string{"securitysystem.read"}}

func TestATokenBoundByDPoPIsGoodWithItsProofOnly(t *testing.T) {
	w := newWorld(t)
	p := w.prover(t)
	token, plain := p.bound(t, mary), w.idp.Token(t, mary)
	nonce := p.nonce(t, token)
	stranger, err := dpop.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/securitysystems"
	offer := `DPoP realm="realguardio", algs="` + strings.Join(dpop.Algorithms(), " ") + `"`
	target := dpop.Target{Method: "GET", URL: p.url + path, AccessToken: token, Nonce: nonce}
	proof := func(change func(*dpop.Target)) string {
		with := target
		change(&with)
		return p.proof(t, p.key, with)
	}
	good := func() string { return proof(func(*dpop.Target) {}) }
	for _, tt := range []struct {
		name    string
		path    string
		headers header
		status  int
		reason  string
		says    string
	}{
		{"with a proof", path, byDPoP(token, good()), 200, "", ""},
		{"with a query", path + "?pageSize=1", byDPoP(token, good()), 200, "", ""},
		{"the path without its version", "/api/securitysystems", byDPoP(token, proof(func(d *dpop.Target) { d.URL = p.url + "/api/securitysystems" })), 200, "", ""},
		{"a bearer token stays one", path, bearer(plain), 200, "", ""},
		{"as a bearer token", path, bearer(token), 401, "UNPROVEN_KEY", offer + `, error="invalid_token"`},
		{"as a bearer token with its proof", path, header{"Authorization": "Bearer " + token, "DPoP": good()}, 401, "UNPROVEN_KEY", `error="invalid_token"`},
		{"without proof", path, header{"Authorization": "DPoP " + token}, 401, "INVALID_DPOP_PROOF", offer + `, error="invalid_dpop_proof"`},
		{"with two proofs", path, byDPoP(token, good()+"\n"+good()), 401, "INVALID_DPOP_PROOF", `error="invalid_dpop_proof"`},
		{"with a proof by another key", path, byDPoP(token, p.proof(t, stranger, target)), 401, "INVALID_DPOP_PROOF", ""},
		{"with a proof for another token", path, byDPoP(token, proof(func(d *dpop.Target) { d.AccessToken = plain })), 401, "INVALID_DPOP_PROOF", ""},
		{"with a proof for POST", path, byDPoP(token, proof(func(d *dpop.Target) { d.Method = "POST" })), 401, "INVALID_DPOP_PROOF", ""},
		{"with a proof for another path", path, byDPoP(token, proof(func(d *dpop.Target) { d.URL += "/sys_1" })), 401, "INVALID_DPOP_PROOF", ""},
		{"with a proof for another origin", path, byDPoP(token, proof(func(d *dpop.Target) { d.URL = "https://evil.example" + path })), 401, "INVALID_DPOP_PROOF", ""},
		{"with the nonce of another", path, byDPoP(token, proof(func(d *dpop.Target) { d.Nonce = "AAAAAAAAAAAAAAAAAAAAAA" })), 401, "USE_DPOP_NONCE", `error="use_dpop_nonce"`},
		{"a token that is bound to nothing", path, byDPoP(plain, proof(func(d *dpop.Target) { d.AccessToken = plain })), 401, "INVALID_TOKEN", `DPoP realm="realguardio"`},
		{"a proof for a token", path, byDPoP(good(), good()), 401, "INVALID_TOKEN", `DPoP realm="realguardio"`},
		{"a proof for a bearer token", path, bearer(good()), 401, "INVALID_TOKEN", `Bearer realm="realguardio"`},
		{"a forged host", path, header{"Authorization": "DPoP " + token, "X-Forwarded-Host": "evil.example", "DPoP": proof(func(d *dpop.Target) { d.URL = "https://evil.example" + path })}, 401, "INVALID_DPOP_PROOF", ""},
		{"two credentials", path, header{"Authorization": "DPoP " + token + "\nBearer " + plain, "DPoP": good()}, 400, "TWO_CREDENTIALS", ""},
		{"two credentials in one header", path, header{"Authorization": "DPoP " + token + ", Bearer " + plain, "DPoP": good()}, 400, "TWO_CREDENTIALS", ""},
		{"a session besides", path, header{"Authorization": "DPoP " + token, "DPoP": good(), "Cookie": "realguardio-session=x"}, 400, "TWO_CREDENTIALS", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			r := p.do(t, http.MethodGet, tt.path, "", tt.headers).want(t, tt.status, tt.reason)
			if !strings.Contains(r.Header.Get("WWW-Authenticate"), tt.says) {
				t.Errorf("WWW-Authenticate: %s", r.Header.Get("WWW-Authenticate"))
			}
			if calls := w.backend.take(); len(calls) > 0 != (tt.status == 200) {
				t.Errorf("the service saw %v", calls)
			}
		})
	}
}

// TestBehindTheEdgeACallTravelsWithATokenOfTheEdges shows what services see of a client that proves a key, and what that is
// worth to who steals it there.
func TestBehindTheEdgeACallTravelsWithATokenOfTheEdges(t *testing.T) {
	w := newWorld(t)
	p := w.prover(t)
	w.backend.does(func(stream grpc.ServerStream) error { return stream.SendMsg(&emptypb.Empty{}) })
	token := p.bound(t, mary)
	nonce := p.nonce(t, token)
	conn := p.dial(t)
	for range 3 {
		proof := p.proof(t, p.key, dpop.Target{Method: "GET", URL: p.url + "/api/v1/securitysystems", AccessToken: token, Nonce: nonce})
		p.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 200, "")
		for _, method := range []string{getSystem, chat} {
			proof := p.proof(t, p.key, dpop.Target{Method: "POST", URL: grpcOrigin + method, AccessToken: token, Nonce: nonce})
			if _, err := native(t.Context(), conn, method, "DPoP "+token, proof); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
		}
	}
	calls := w.backend.take()
	if len(calls) != 9 || len(p.exchanger.Requests()) != 1 {
		t.Fatalf("%d calls, by %d exchanges", len(calls), len(p.exchanger.Requests()))
	}
	stolen := ""
	for _, c := range calls {
		if who := c.caller; who.Subject != "u-mary" || who.Kind != mesh.KindUser || !slices.Equal(who.Actors, []string{"gateway"}) || who.Confirmation.X5T == "" {
			t.Errorf("%s: the service saw %+v", c.method, who)
		}
		authorization := c.metadata.Get("authorization")[0]
		if strings.Contains(authorization, token) || len(c.metadata.Get("dpop")) > 0 {
			t.Errorf("%s: the client's own token or proof went on", c.method)
		}
		if bearer, ok := strings.CutPrefix(authorization, "Bearer "); ok {
			stolen = bearer
		}
	}
	for _, thief := range []string{"customer", "notification", "gateway", ""} { // "gateway" is another certificate of that name
		for _, method := range []string{getSystem, chat} {
			over := w.server.DialAs(t, thief)
			if thief == "" {
				over = conn // from outside
			}
			_, err := native(t.Context(), over, method, "Bearer "+stolen)
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s by %q: %v", method, thief, err)
			}
		}
	}
	if calls := w.backend.take(); len(calls) > 0 {
		t.Errorf("the service saw %v", calls)
	}
}

func TestTheEndOfABoundTokenEndsWhatWasGotForIt(t *testing.T) {
	w := newWorld(t)
	p := w.prover(t)
	token := p.bound(t, mary)
	nonce := p.nonce(t, token)
	list := func() reply {
		proof := p.proof(t, p.key, dpop.Target{Method: "GET", URL: p.url + "/api/v1/securitysystems", AccessToken: token, Nonce: nonce})
		return p.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof))
	}
	list().want(t, 200, "")
	if err := w.revoked.Add(revocation.Entry{Kind: revocation.Token, Value: "t-mary"}); err != nil {
		t.Fatal(err)
	}
	w.backend.take()
	list().want(t, 401, "TOKEN_ENDED")
	proof := p.proof(t, p.key, dpop.Target{Method: "POST", URL: grpcOrigin + getSystem, AccessToken: token, Nonce: nonce})
	if _, err := native(t.Context(), p.dial(t), getSystem, "DPoP "+token, proof); status.Code(err) != codes.Unauthenticated {
		t.Errorf("native gRPC: %v", err)
	}
	if calls := w.backend.take(); len(calls) > 0 {
		t.Errorf("the service saw %v", calls)
	}
}

func TestNativeGRPCTellsWhichNonceToUse(t *testing.T) {
	p := newWorld(t).prover(t)
	p.backend.does(func(stream grpc.ServerStream) error { return stream.SendMsg(&emptypb.Empty{}) })
	token, conn := p.bound(t, mary), p.dial(t)
	for _, method := range []string{getSystem, chat} {
		target := dpop.Target{Method: "POST", URL: grpcOrigin + method, AccessToken: token}
		trailer, err := native(t.Context(), conn, method, "DPoP "+token, p.proof(t, p.key, target))
		if mesh.Reason(err) != mesh.ReasonUseDPoPNonce || len(trailer.Get("dpop-nonce")) != 1 {
			t.Fatalf("%s: %v, %v", method, err, trailer)
		}
		target.Nonce = trailer.Get("dpop-nonce")[0]
		if _, err := native(t.Context(), conn, method, "DPoP "+token, p.proof(t, p.key, target)); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		if _, err := native(t.Context(), conn, method, "Bearer "+token); mesh.Reason(err) != mesh.ReasonUnprovenKey {
			t.Errorf("%s as a bearer token: %v", method, err)
		}
	}
}

func TestAProofIsGoodOnceOverAllReplicas(t *testing.T) {
	w := newWorld(t)
	one, two := w.prover(t), w.prover(t, func(c *gateway.Config) { c.Origins.API = []string{"https://api.example.com"} })
	w.backend.does(func(stream grpc.ServerStream) error { return stream.SendMsg(&emptypb.Empty{}) })
	token := one.bound(t, mary)
	nonce := one.nonce(t, token) // each replica accepts the other's
	for _, method := range []string{getSystem, chat} {
		proof := one.proof(t, one.key, dpop.Target{Method: "POST", URL: grpcOrigin + method, AccessToken: token, Nonce: nonce})
		if _, err := native(t.Context(), one.dial(t), method, "DPoP "+token, proof); err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]*prover{"the same replica": one, "another": two} {
			if _, err := native(t.Context(), p.dial(t), method, "DPoP "+token, proof); mesh.Reason(err) != mesh.ReasonInvalidDPoPProof {
				t.Errorf("%s at %s: %v", method, name, err)
			}
		}
	}
	// Both are at one public URL, as replicas behind a balancer are.
	three := w.prover(t, func(c *gateway.Config) { c.Origins.API = []string{"https://api.example.com"} })
	proof := one.proof(t, one.key, dpop.Target{Method: "GET", URL: "https://api.example.com/api/v1/securitysystems", AccessToken: token, Nonce: nonce})
	two.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 200, "")
	two.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 401, "INVALID_DPOP_PROOF")
	three.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 401, "INVALID_DPOP_PROOF")
}

func TestWithoutRedisNobodyIsLetInByAProof(t *testing.T) {
	w := newWorld(t)
	p := w.prover(t)
	token := p.bound(t, mary)
	nonce := p.nonce(t, token)
	w.redis.Stop()
	proof := p.proof(t, p.key, dpop.Target{Method: "GET", URL: p.url + "/api/v1/securitysystems", AccessToken: token, Nonce: nonce})
	p.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 503, "DEPENDENCY_DOWN")
	proof = p.proof(t, p.key, dpop.Target{Method: "POST", URL: grpcOrigin + getSystem, AccessToken: token, Nonce: nonce})
	if _, err := native(t.Context(), p.dial(t), getSystem, "DPoP "+token, proof); status.Code(err) != codes.Unavailable {
		t.Errorf("native gRPC: %v", err)
	}
	if calls := w.backend.take(); len(calls) > 0 {
		t.Errorf("the service saw %v", calls)
	}
	p.do(t, http.MethodGet, "/api/v1/securitysystems", "", bearer(w.idp.Token(t, mary))).want(t, 200, "")
	w.redis.Start()
}

func TestAnOpaqueTokenCanBeBound(t *testing.T) {
	w := newWorld(t)
	p := w.prover(t)
	claims := mary
	claims.Extra = map[string]any{"cnf": map[string]any{"jkt": p.key.Thumbprint()}}
	token := w.opaqueToken(t, "bound", claims)
	nonce := p.nonce(t, token)
	proof := p.proof(t, p.key, dpop.Target{Method: "GET", URL: p.url + "/api/v1/securitysystems", AccessToken: token, Nonce: nonce})
	p.do(t, http.MethodGet, "/api/v1/securitysystems", "", byDPoP(token, proof)).want(t, 200, "")
	p.do(t, http.MethodGet, "/api/v1/securitysystems", "", bearer(token)).want(t, 401, "UNPROVEN_KEY")
	proof = p.proof(t, p.key, dpop.Target{Method: "POST", URL: grpcOrigin + getSystem, AccessToken: token, Nonce: nonce})
	if _, err := native(t.Context(), p.dial(t), getSystem, "DPoP "+token, proof); err != nil {
		t.Errorf("native gRPC: %v", err)
	}
	if _, err := native(t.Context(), p.dial(t), getSystem, "Bearer "+token); mesh.Reason(err) != mesh.ReasonUnprovenKey {
		t.Errorf("native gRPC as a bearer token: %v", err)
	}
}

func TestATokenBoundToACertificateIsGoodOverThatOneOnly(t *testing.T) {
	w := newWorld(t)
	p := w.prover(t)
	w.backend.does(func(stream grpc.ServerStream) error { return stream.SendMsg(&emptypb.Empty{}) })
	own, stranger := w.idp.CA.Client(t, "device"), meshtest.NewCA(t).Client(t, "device")
	claims := mary
	claims.Extra = map[string]any{"cnf": map[string]any{"x5t#S256": mesh.Thumbprint(own.Certificates[0].Leaf)}}
	token := w.idp.Token(t, claims)

	front := httptest.NewUnstartedServer(p.gateway.Handler())
	front.TLS = &tls.Config{Certificates: []tls.Certificate{w.idp.CA.Certificate(t, "gateway")}, ClientAuth: tls.RequestClientCert}
	front.StartTLS()
	t.Cleanup(front.Close)
	_, port, err := net.SplitHostPort(front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	showing := func(c *tls.Config) *tls.Config {
		with := w.idp.CA.Client(t, "")
		if c != nil {
			with.Certificates = c.Certificates
		}
		return with
	}
	for _, tt := range []struct {
		name string
		with *tls.Config
		good bool
	}{
		{"over its own", own, true},
		{"over another of the same name", w.idp.CA.Client(t, "device"), false},
		{"over one of another authority", stranger, false},
		{"over none", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.backend.take()
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: showing(tt.with)}}
			t.Cleanup(client.CloseIdleConnections)
			want, reason := 401, "OTHER_CERTIFICATE"
			if tt.good {
				want, reason = 200, ""
			}
			send(t, client, http.MethodGet, "https://localhost:"+port+"/api/v1/securitysystems", "", bearer(token)).want(t, want, reason)
			conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(credentials.NewTLS(showing(tt.with))))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			for _, method := range []string{getSystem, chat} {
				if _, err := native(t.Context(), conn, method, "Bearer "+token); (err == nil) != tt.good || mesh.Reason(err) != reason {
					t.Errorf("%s: %v", method, err)
				}
			}
			if calls := w.backend.take(); len(calls) > 0 != tt.good {
				t.Errorf("the service saw %v", calls)
			}
		})
	}
}

func TestOnlyTrustedProxiesSayWhichCertificateWasShown(t *testing.T) {
	w := newWorld(t)
	own := w.idp.CA.Client(t, "device")
	der := own.Certificates[0].Certificate[0]
	claims := mary
	claims.Extra = map[string]any{"cnf": map[string]any{"x5t#S256": mesh.Thumbprint(own.Certificates[0].Leaf)}}
	token := w.idp.Token(t, claims)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	vouched := ":" + base64.StdEncoding.EncodeToString(der) + ":"
	for _, tt := range []struct {
		name     string
		vouching []netip.Prefix
		trusted  []netip.Prefix
		headers  header
		good     bool
	}{
		{"a proxy that may say it", loopback, nil, header{"Client-Cert": vouched}, true},
		{"a proxy that may say it, and for whom it speaks", loopback, loopback, header{"Client-Cert": vouched, "X-Forwarded-For": "192.0.2.1"}, true},
		{"a proxy that is trusted with addresses alone", nil, loopback, header{"Client-Cert": vouched}, false},
		{"a stranger", elsewhere, nil, header{"Client-Cert": vouched}, false},
		{"a stranger who says that they are a proxy's", elsewhere, loopback, header{"Client-Cert": vouched, "X-Forwarded-For": "10.0.0.1"}, false},
		{"where nobody may say it", nil, nil, header{"Client-Cert": vouched}, false},
		{"a header of another name", loopback, nil, header{"X-Client-Cert": vouched}, false},
		{"two headers", loopback, nil, header{"Client-Cert": vouched + "\n" + vouched}, false},
		{"another certificate", loopback, nil, header{"Client-Cert": ":" + base64.StdEncoding.EncodeToString(w.idp.CA.Client(t, "device").Certificates[0].Certificate[0]) + ":"}, false},
		{"no byte sequence", loopback, nil, header{"Client-Cert": base64.StdEncoding.EncodeToString(der)}, false},
		{"no certificate", loopback, nil, header{"Client-Cert": ":AAAA:"}, false},
		{"something behind it", loopback, nil, header{"Client-Cert": ":" + base64.StdEncoding.EncodeToString(append(slices.Clone(der), 0)) + ":"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := w.prover(t, func(c *gateway.Config) { c.Proxies.Trusted, c.Proxies.Vouching = tt.trusted, tt.vouching })
			w.backend.take()
			r := p.do(t, http.MethodGet, "/api/v1/securitysystems", "", bearer(token), tt.headers)
			if tt.good {
				r.want(t, 200, "")
			} else {
				r.want(t, 401, "OTHER_CERTIFICATE")
			}
			for _, c := range w.backend.take() {
				if !tt.good || len(c.metadata.Get("client-cert")) > 0 {
					t.Errorf("the service saw %v", c)
				}
			}
		})
	}
}
