package mesh_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// edgeOrigin is where callers reach the servers of these tests by their configuration; they listen elsewhere.
const edgeOrigin = "https://grpc.example.com:9443"

// both are a unary and a streaming method that every caller may call.
var both = []string{"/test.mesh.v1.Echo/Say", "/test.mesh.v1.Echo/Watch"}

// call calls a method, unary or stream, and returns how it went and what came in header and trailer.
func call(ctx context.Context, conn grpc.ClientConnInterface, method string) (header, trailer metadata.MD, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if strings.HasSuffix(method, "/Say") {
		err = conn.Invoke(ctx, method, newNote("").Message, newNote("").Message, grpc.Header(&header), grpc.Trailer(&trailer))
		return header, trailer, err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return nil, nil, err
	}
	_ = stream.SendMsg(newNote("").Message)
	_ = stream.CloseSend()
	err = stream.RecvMsg(newNote("").Message)
	header, _ = stream.Header()
	return header, stream.Trailer(), err
}

// dpopEdge is a server that takes proofs, and one client's key.
type dpopEdge struct {
	t      *testing.T
	iss    *meshtest.Issuer
	conn   *grpc.ClientConn
	key    *dpop.Key
	admits func() int
}

func newDPoPEdge(t *testing.T, iss *meshtest.Issuer, replays dpop.Replays, nonces *dpop.Nonces) *dpopEdge {
	t.Helper()
	checker, err := dpop.New(dpop.Config{Replays: replays, Nonces: nonces})
	if err != nil {
		t.Fatal(err)
	}
	e := &dpopEdge{t: t, iss: iss}
	if e.key, err = dpop.GenerateKey(); err != nil {
		t.Fatal(err)
	}
	var admitted counter
	e.admits = admitted.get
	echo := &echo{
		unary:  func(context.Context, note) (note, error) { admitted.add(); return newNote("in"), nil },
		stream: func(s grpc.ServerStream) error { admitted.add(); return s.SendMsg(newNote("in").Message) },
	}
	e.conn = meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.DPoP = &mesh.DPoP{Checker: checker, Origins: []string{"https://other.example", edgeOrigin}}
	}}, echo.register).Dial(t)
	return e
}

func (e *dpopEdge) bound(claims meshtest.Claims) string {
	claims.Extra = map[string]any{"cnf": map[string]any{"jkt": e.key.Thumbprint()}}
	return e.iss.Token(e.t, claims)
}

func (e *dpopEdge) proof(key *dpop.Key, target dpop.Target) string {
	e.t.Helper()
	if target.Method == "" {
		target.Method = "POST"
	}
	proof, err := key.Proof(target)
	if err != nil {
		e.t.Fatal(err)
	}
	return proof
}

func with(ctx context.Context, authorization string, proofs ...string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": {authorization}, "dpop": proofs})
}

func memory() *dpop.Memory { return dpop.NewMemory(1000, time.Now) }

func TestATokenBoundByDPoPIsGoodWithItsProofOnly(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	e := newDPoPEdge(t, iss, memory(), nil)
	stranger, err := dpop.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	token, plain := e.bound(meshtest.Claims{}), iss.Token(t, meshtest.Claims{})
	other := e.bound(meshtest.Claims{Subject: "u-other"})
	for _, method := range both {
		url := edgeOrigin + method
		good := func() string { return e.proof(e.key, dpop.Target{URL: url, AccessToken: token}) }
		for _, tt := range []struct {
			name          string
			authorization string
			proofs        []string
			reason        string
		}{
			{"with a proof", "DPoP " + token, []string{good()}, ""},
			{"the scheme in small letters", "dpop " + token, []string{good()}, ""},
			{"a bearer token stays one", "Bearer " + plain, nil, ""},
			{"a bearer token, and a proof that nobody asks for", "Bearer " + plain, []string{"x"}, ""},
			{"as a bearer token", "Bearer " + token, nil, mesh.ReasonUnprovenKey},
			{"as a bearer token with its proof", "Bearer " + token, []string{good()}, mesh.ReasonUnprovenKey},
			{"without proof", "DPoP " + token, nil, mesh.ReasonInvalidDPoPProof},
			{"with two proofs", "DPoP " + token, []string{good(), good()}, mesh.ReasonInvalidDPoPProof},
			{"with a proof by another key", "DPoP " + token, []string{e.proof(stranger, dpop.Target{URL: url, AccessToken: token})}, mesh.ReasonInvalidDPoPProof},
			{"with a proof for another token", "DPoP " + token, []string{e.proof(e.key, dpop.Target{URL: url, AccessToken: other})}, mesh.ReasonInvalidDPoPProof},
			{"with a proof for no token", "DPoP " + token, []string{e.proof(e.key, dpop.Target{URL: url})}, mesh.ReasonInvalidDPoPProof},
			{"with a proof for GET", "DPoP " + token, []string{e.proof(e.key, dpop.Target{Method: "GET", URL: url, AccessToken: token})}, mesh.ReasonInvalidDPoPProof},
			{"with a proof for another method", "DPoP " + token, []string{e.proof(e.key, dpop.Target{URL: url + "2", AccessToken: token})}, mesh.ReasonInvalidDPoPProof},
			{"with a proof for the address it is sent to", "DPoP " + token, []string{e.proof(e.key, dpop.Target{URL: "https://" + e.conn.Target() + method, AccessToken: token})}, mesh.ReasonInvalidDPoPProof},
			{"with the token for a proof", "DPoP " + token, []string{token}, mesh.ReasonInvalidDPoPProof},
			{"a token that is bound to nothing", "DPoP " + plain, []string{e.proof(e.key, dpop.Target{URL: url, AccessToken: plain})}, mesh.ReasonUnauthenticated},
			{"a proof for a token", "DPoP " + good(), []string{good()}, mesh.ReasonUnauthenticated},
			{"a proof for a bearer token", "Bearer " + good(), nil, mesh.ReasonUnauthenticated},
			{"two credentials with a comma", "DPoP " + token + ",Bearer " + plain, []string{good()}, mesh.ReasonUnauthenticated},
			{"the scheme alone", "DPoP ", []string{good()}, mesh.ReasonUnauthenticated},
			{"another scheme", "DPoPP " + token, []string{good()}, mesh.ReasonUnauthenticated},
		} {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				before := e.admits()
				_, _, err := call(with(t.Context(), tt.authorization, tt.proofs...), e.conn, method)
				if mesh.Reason(err) != tt.reason || tt.reason != "" && status.Code(err) != codes.Unauthenticated {
					t.Fatalf("got %v (%s), want %s", err, mesh.Reason(err), tt.reason)
				}
				if ran := e.admits() > before; ran != (tt.reason == "") {
					t.Fatalf("the handler ran: %v", ran)
				}
			})
		}
	}
}

func TestAProofIsGoodAtOneReplicaOnly(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	shared := memory()
	one, two := newDPoPEdge(t, iss, shared, nil), newDPoPEdge(t, iss, shared, nil)
	for _, method := range both {
		token := one.bound(meshtest.Claims{})
		ctx := with(t.Context(), "DPoP "+token, one.proof(one.key, dpop.Target{URL: edgeOrigin + method, AccessToken: token}))
		if _, _, err := call(ctx, one.conn, method); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		for name, e := range map[string]*dpopEdge{"the same replica": one, "another": two} {
			if _, _, err := call(ctx, e.conn, method); mesh.Reason(err) != mesh.ReasonInvalidDPoPProof {
				t.Errorf("%s again at %s: %v", method, name, err)
			}
		}
	}
	if two.admits() != 0 {
		t.Error("the other replica ran a handler")
	}
}

func TestACallerIsToldWhichNonceToUse(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	nonces, err := dpop.NewNonces(time.Hour, []byte(strings.Repeat("n", 32)))
	if err != nil {
		t.Fatal(err)
	}
	e := newDPoPEdge(t, iss, memory(), nonces)
	token := e.bound(meshtest.Claims{})
	for _, method := range both {
		for name, nonce := range map[string]string{"none": "", "another's": "AAAAAAAAAAAAAAAAAAAAAA"} {
			target := dpop.Target{URL: edgeOrigin + method, AccessToken: token, Nonce: nonce}
			_, trailer, err := call(with(t.Context(), "DPoP "+token, e.proof(e.key, target)), e.conn, method)
			given := trailer.Get("dpop-nonce")
			if status.Code(err) != codes.Unauthenticated || mesh.Reason(err) != mesh.ReasonUseDPoPNonce || len(given) != 1 {
				t.Fatalf("%s with %s: %v, %v", method, name, err, trailer)
			}
			target.Nonce = given[0]
			if _, _, err := call(with(t.Context(), "DPoP "+token, e.proof(e.key, target)), e.conn, method); err != nil {
				t.Errorf("%s with the nonce: %v", method, err)
			}
		}
		// A refusal for any other reason gives none away.
		if _, trailer, err := call(with(t.Context(), "DPoP "+token), e.conn, method); err == nil || len(trailer.Get("dpop-nonce")) > 0 {
			t.Errorf("%s without proof: %v, %v", method, err, trailer)
		}
	}
}

func TestACallerIsGivenTheNextNonceBeforeItsOwnIsOld(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	retired, current := []byte(strings.Repeat("r", 32)), []byte(strings.Repeat("c", 32))
	rotated, err := dpop.NewNonces(time.Hour, current, retired)
	if err != nil {
		t.Fatal(err)
	}
	before, err := dpop.NewNonces(time.Hour, retired)
	if err != nil {
		t.Fatal(err)
	}
	e := newDPoPEdge(t, iss, memory(), rotated)
	old, err := dpop.New(dpop.Config{Replays: memory(), Nonces: before})
	if err != nil {
		t.Fatal(err)
	}
	token := e.bound(meshtest.Claims{})
	for _, method := range both {
		target := dpop.Target{URL: edgeOrigin + method, AccessToken: token, Nonce: old.Nonce()}
		header, _, err := call(with(t.Context(), "DPoP "+token, e.proof(e.key, target)), e.conn, method)
		if err != nil || len(header.Get("dpop-nonce")) != 1 || header.Get("dpop-nonce")[0] == target.Nonce {
			t.Fatalf("%s: %v, %v", method, header, err)
		}
	}
}

type noReplays struct{}

func (noReplays) Use(context.Context, string, time.Time) (bool, error) {
	return true, errors.New("down")
}

func TestNobodyIsLetInByAProofWhileUsedOnesCannotBeLookedUp(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	e := newDPoPEdge(t, iss, noReplays{}, nil)
	token := e.bound(meshtest.Claims{})
	for _, method := range both {
		proof := e.proof(e.key, dpop.Target{URL: edgeOrigin + method, AccessToken: token})
		if _, _, err := call(with(t.Context(), "DPoP "+token, proof), e.conn, method); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", method, err)
		}
		if _, _, err := call(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})), e.conn, method); err != nil {
			t.Errorf("%s with a bearer token: %v", method, err)
		}
	}
}

func TestAServerInsideTakesNoProof(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	e := newDPoPEdge(t, iss, memory(), nil)
	conn := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register).Dial(t)
	token := e.bound(meshtest.Claims{})
	for _, method := range both {
		for scheme, reason := range map[string]string{"DPoP ": mesh.ReasonUnauthenticated, "Bearer ": mesh.ReasonUnprovenKey} {
			proof := e.proof(e.key, dpop.Target{URL: edgeOrigin + method, AccessToken: token})
			if _, _, err := call(with(t.Context(), scheme+token, proof), conn, method); mesh.Reason(err) != reason {
				t.Errorf("%s as %s: %v (%s)", method, scheme, err, mesh.Reason(err))
			}
		}
	}
}

func TestATokenBoundToACertificateIsGoodOverThatOneOnly(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.TLS.ClientAuth = tls.RequestClientCert // as an edge has it
	}}, (&echo{
		unary:  whoami,
		stream: func(s grpc.ServerStream) error { return s.SendMsg(newNote("in").Message) },
	}).register)
	dial := func(cfg *tls.Config) *grpc.ClientConn {
		conn, err := grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	own := iss.CA.Client(t, "customer")
	bound := iss.Token(t, meshtest.Claims{Extra: map[string]any{"cnf": map[string]any{"x5t#S256": digestOf(own)}}})
	stranger := own.Clone()
	stranger.Certificates = meshtest.NewCA(t).Client(t, "customer").Certificates
	chain := iss.CA.Client(t, "notification")
	chain.Certificates[0].Certificate = append(chain.Certificates[0].Certificate, own.Certificates[0].Certificate[0])
	for _, tt := range []struct {
		name string
		conn *grpc.ClientConn
		good bool
	}{
		{"over its own", dial(own), true},
		{"over another of the same name", srv.DialAs(t, "customer"), false},
		{"over another part's", srv.DialAs(t, "notification"), false},
		{"over one of the same name and another authority", dial(stranger), false},
		{"over another's, with its own behind it in the chain", dial(chain), false},
		{"over none", dial(iss.CA.Client(t, "")), false},
	} {
		for _, method := range both {
			_, _, err := call(meshtest.As(t.Context(), bound), tt.conn, method)
			if (err == nil) != tt.good || !tt.good && mesh.Reason(err) != mesh.ReasonOtherCertificate {
				t.Errorf("%s %s: %v", method, tt.name, err)
			}
		}
	}
	for _, header := range []string{"client-cert", "x-client-cert", "x-forwarded-client-cert"} {
		raw := base64.StdEncoding.EncodeToString(own.Certificates[0].Certificate[0])
		ctx := metadata.AppendToOutgoingContext(meshtest.As(t.Context(), bound), header, ":"+raw+":")
		for _, method := range both {
			if _, _, err := call(ctx, srv.DialAs(t, "notification"), method); mesh.Reason(err) != mesh.ReasonOtherCertificate {
				t.Errorf("%s with %s: %v", method, header, err)
			}
		}
	}
}

func digestOf(cfg *tls.Config) string {
	sum := sha256.Sum256(cfg.Certificates[0].Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestAnOriginIsASchemeAndAHost(t *testing.T) {
	checker, err := dpop.New(dpop.Config{Replays: memory()})
	if err != nil {
		t.Fatal(err)
	}
	iss := meshtest.NewIssuer(t)
	for _, d := range []*mesh.DPoP{
		{Origins: []string{edgeOrigin}}, {Checker: checker}, {Checker: checker, Origins: []string{"grpc.example.com"}},
		{Checker: checker, Origins: []string{edgeOrigin + "/"}}, {Checker: checker, Origins: []string{""}},
	} {
		cfg := mesh.ServerConfig{
			Name: "echo", TLS: iss.CA.Server(t, "echo"), Verifier: iss.Verifier(t, "echo"), Revocations: mesh.NoRevocations(),
			Logger: meshtest.Logger(t), DPoP: d,
		}
		if _, err := mesh.NewServer(cfg); err == nil {
			t.Errorf("%+v is accepted", d)
		}
	}
}

// counter counts what handlers do.
type counter struct{ n atomic.Int64 }

func (c *counter) add()     { c.n.Add(1) }
func (c *counter) get() int { return int(c.n.Load()) }
