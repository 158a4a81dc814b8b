package issuers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/claims"
	"github.com/realguardio/realguardio/mesh/issuers"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// verifier trusts an issuer; namespace is empty for ours.
func verifier(t *testing.T, url, namespace string) *jwt.Verifier {
	t.Helper()
	cfg := jwt.Config{Issuer: url, Audiences: []string{meshtest.Audience}, Logger: meshtest.Logger(t), Cooldown: time.Nanosecond}
	if namespace != "" {
		cfg.Claims = &claims.Mapping{Namespace: namespace}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	v, err := jwt.New(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newIssuers(t *testing.T, cfg issuers.Config) *issuers.Verifier {
	t.Helper()
	v, err := issuers.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cause is the word for metrics of a refusal, "" for none.
func cause(err error) string {
	var c interface{ Cause() string }
	if errors.As(err, &c) {
		return c.Cause()
	}
	return fmt.Sprint(map[bool]any{true: "", false: err}[err == nil])
}

func TestEqualIdentifiersOfTwoIssuersAreDifferentPeople(t *testing.T) {
	ours, acme, bolt := meshtest.NewIssuer(t), meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	v := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{
		{JWT: verifier(t, ours.URL, ""), Required: true}, {JWT: verifier(t, acme.URL, "acme")}, {JWT: verifier(t, bolt.URL, "bolt")},
	}})
	same := meshtest.Claims{Subject: "42", ClientID: "web", SessionID: "s1", TokenID: "t1"}
	for prefix, iss := range map[string]*meshtest.Issuer{"": ours, "acme:": acme, "bolt:": bolt} {
		token := iss.Token(t, same)
		for _, when := range []string{"verified", "remembered"} {
			id, err := v.Verify(t.Context(), token)
			if err != nil || id.Subject != prefix+"42" || id.ClientID != prefix+"web" || id.SessionID != prefix+"s1" || id.TokenID != prefix+"t1" ||
				id.KeyID != prefix+iss.KeyID() || id.Issuer != iss.URL {
				t.Errorf("%s, %s: got %+v, %v", prefix, when, id, err)
			}
		}
	}
}

// TestWhatEndsOursDoesNotEndTheirs has a feed that speaks of our issuer only.
func TestWhatEndsOursDoesNotEndTheirs(t *testing.T) {
	ours, acme := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	v := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{{JWT: verifier(t, ours.URL, "")}, {JWT: verifier(t, acme.URL, "acme")}}})
	same := meshtest.Claims{Subject: "42", ClientID: "web", SessionID: "s1", TokenID: "t1"}
	our, err := v.Verify(t.Context(), ours.Token(t, same))
	if err != nil {
		t.Fatal(err)
	}
	their, err := v.Verify(t.Context(), acme.Token(t, same))
	if err != nil {
		t.Fatal(err)
	}
	for kind, value := range map[revocation.Kind]string{
		revocation.Token: "t1", revocation.Session: "s1", revocation.Subject: "42", revocation.Client: "web", revocation.Key: ours.KeyID(),
	} {
		set := revocation.NewSet(revocation.Config{})
		if err := set.Add(revocation.Entry{Kind: kind, Value: value}); err != nil {
			t.Fatal(err)
		}
		if !set.Revoked(our) || set.Revoked(their) {
			t.Errorf("%d %s: ours ended %t, theirs ended %t", kind, value, set.Revoked(our), set.Revoked(their))
		}
	}
	set := revocation.NewSet(revocation.Config{})
	if err := set.Add(revocation.Entry{Kind: revocation.Subject, Value: "acme:42"}); err != nil || set.Revoked(our) || !set.Revoked(their) {
		t.Errorf("by the name that it has here: ours ended %t, theirs ended %t, %v", set.Revoked(our), set.Revoked(their), err)
	}
}

func TestATokenOfOneIssuerIsNotTakenForAnothers(t *testing.T) {
	ours, acme, stranger := meshtest.NewIssuer(t), meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	v := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{{JWT: verifier(t, ours.URL, "")}, {JWT: verifier(t, acme.URL, "acme")}}})
	iss := func(url string) map[string]any { return map[string]any{"iss": url} }
	for _, tt := range []struct {
		name  string
		by    *meshtest.Issuer
		over  map[string]any
		head  map[string]any
		cause string
	}{
		{name: "a trusted issuer that says it is ours", by: acme, over: iss(ours.URL), cause: "unknown_key"},
		{name: "and names our key", by: acme, over: iss(ours.URL), head: map[string]any{"kid": ours.KeyID()}, cause: "signature"},
		{name: "ours that says it is theirs", by: ours, over: iss(acme.URL), head: map[string]any{"kid": acme.KeyID()}, cause: "signature"},
		{name: "the other's key under its own name", by: acme, head: map[string]any{"kid": ours.KeyID()}, cause: "unknown_key"},
		{name: "an issuer that nobody trusts", by: stranger, cause: "issuer"},
		{name: "a slash behind the issuer", by: ours, over: iss(ours.URL + "/"), cause: "issuer"},
		{name: "the issuer in upper case", by: ours, over: iss(strings.ToUpper(ours.URL)), cause: "issuer"},
		{name: "a space behind the issuer", by: ours, over: iss(ours.URL + " "), cause: "issuer"},
		{name: "no issuer", by: ours, over: iss(""), cause: "issuer"},
		{name: "two issuers", by: ours, over: map[string]any{"iss": []string{ours.URL, acme.URL}}, cause: "issuer"},
		{name: "an algorithm of its own", by: acme, head: map[string]any{"alg": "RS256"}, cause: "algorithm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if id, err := v.Verify(t.Context(), tt.by.Token(t, meshtest.Claims{Extra: tt.over, Header: tt.head})); cause(err) != tt.cause {
				t.Errorf("got %v, %v; want %q", id, err, tt.cause)
			}
		})
	}
}

// ourClaims are credentials that are bad because of claims which only our issuer's tokens have to have, or have at all.
var ourClaims = regexp.MustCompile(`^(SUB for sub|no (sub|jti|iat)|caller .*|roles that are no list|a scope that is a list|an epoch .*)$`)

// TestNothingBadGetsInByEitherIssuer has what strangers may make of the tokens of each, for unary and stream, over TLS.
func TestNothingBadGetsInByEitherIssuer(t *testing.T) {
	ours, acme := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	v := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{{JWT: verifier(t, ours.URL, "")}, {JWT: verifier(t, acme.URL, "acme")}}})
	srv := meshtest.Serve(t, ours, meshtest.Part{Name: "audit", Configure: func(cfg *mesh.ServerConfig) { cfg.Verifier = v }}, func(s grpc.ServiceRegistrar) {
		auditv1.RegisterAuditServiceServer(s, auditv1.UnimplementedAuditServiceServer{})
		meshv1.RegisterRevocationServiceServer(s, meshv1.UnimplementedRevocationServiceServer{})
	})
	t.Run("ours", func(t *testing.T) { meshtest.RefusesBadTokens(t, srv) })
	unary, stream := auditv1.NewAuditServiceClient(srv.Dial(t)), meshv1.NewRevocationServiceClient(srv.Dial(t))
	t.Run("theirs", func(t *testing.T) {
		for _, bad := range acme.BadCredentials(t) {
			if ourClaims.MatchString(bad.Name) {
				continue
			}
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": bad.Authorization})
			_, err := unary.ListEntries(ctx, &auditv1.ListEntriesRequest{Part: "token"})
			watch, errStream := stream.Watch(ctx, &meshv1.WatchRequest{})
			if errStream == nil {
				_, errStream = watch.Recv()
			}
			if status.Code(err) != codes.Unauthenticated || status.Code(errStream) != codes.Unauthenticated {
				t.Errorf("%s: got %v and %v", bad.Name, err, errStream)
			}
		}
	})
	for _, tt := range []struct {
		name, token string
		want        codes.Code
	}{
		{name: "a good token of ours", token: ours.Token(t, admin), want: codes.Unimplemented},
		{name: "the same of theirs, whose roles and scopes nobody has allowed", token: acme.Token(t, admin), want: codes.PermissionDenied},
	} {
		if _, err := unary.ListEntries(meshtest.As(t.Context(), tt.token), &auditv1.ListEntriesRequest{Part: "token"}); status.Code(err) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	gateway := meshv1.NewRevocationServiceClient(srv.DialAs(t, "gateway"))
	for name, want := range map[string]codes.Code{ours.Workload(t, "gateway"): codes.Unimplemented, acme.Workload(t, "gateway"): codes.PermissionDenied} {
		watch, err := gateway.Watch(meshtest.As(t.Context(), name), &meshv1.WatchRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		if status.Code(err) != want {
			t.Errorf("a workload: got %v, want %s", err, want)
		}
	}
}

var admin = meshtest.Claims{Roles: []string{"REALGUARDIO_ADMIN"}, Scopes: []string{"audit.read", "admin"}, AuthTime: time.Now()}

func TestAnIssuerThatIsDownKeepsNoOtherFromBeingTrusted(t *testing.T) {
	ours, acme := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	acme.SetDown(true)
	foreign := verifier(t, acme.URL, "acme")
	own := issuers.Trusted{JWT: verifier(t, ours.URL, ""), Required: true}
	optional := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{own, {JWT: foreign}}})
	required := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{own, {JWT: foreign, Required: true}}})
	alone := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{{JWT: foreign}}})
	for name, got := range map[string][2]bool{"optional": {optional.Ready(), true}, "required": {required.Ready(), false}, "alone": {alone.Ready(), false}} {
		if got[0] != got[1] {
			t.Errorf("%s: ready is %t", name, got[0])
		}
	}
	if _, err := optional.Verify(t.Context(), acme.Token(t, meshtest.Claims{})); !errors.Is(err, mesh.ErrCannotVerify) {
		t.Errorf("of the issuer that is down: %v", err)
	}
	if _, err := optional.Verify(t.Context(), ours.Token(t, meshtest.Claims{})); err != nil {
		t.Errorf("of the other: %v", err)
	}
	acme.SetDown(false)
	if _, err := optional.Verify(t.Context(), acme.Token(t, meshtest.Claims{})); err != nil || !required.Ready() || !alone.Ready() {
		t.Errorf("once it is back: %v, ready %t %t", err, required.Ready(), alone.Ready())
	}
}

func TestASlowIssuerHoldsUpNobodyElse(t *testing.T) {
	ours, acme := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	asked, release := make(chan struct{}, 8), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)
	v := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{{JWT: verifier(t, slow.URL, "slow")}, {JWT: verifier(t, ours.URL, "")}}})
	<-asked
	waiting, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := v.Verify(waiting, acme.Token(t, meshtest.Claims{Extra: map[string]any{"iss": slow.URL}}))
		ended <- err
	}()
	for range 3 {
		if _, err := v.Verify(t.Context(), ours.Token(t, meshtest.Claims{})); err != nil {
			t.Errorf("of the other: %v", err)
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, mesh.ErrCannotVerify) {
		t.Errorf("of the slow one: %v", err)
	}
}

// oracle reads opaque tokens, and remembers what it was shown.
type oracle struct {
	*jwt.Verifier
	name  string
	shown []string
}

func (o *oracle) Namespace() string                  { return o.name }
func (o *oracle) Issuer() string                     { return "https://" + o.name }
func (o *oracle) Known(string) (mesh.Identity, bool) { return mesh.Identity{}, false }
func (o *oracle) Verify(_ context.Context, token string) (mesh.Identity, error) {
	o.shown = append(o.shown, token)
	return mesh.Identity{Subject: o.name}, nil
}

func TestAnOpaqueTokenIsShownToItsIssuerAlone(t *testing.T) {
	ours := meshtest.NewIssuer(t)
	plain, prefixed := &oracle{name: "plain"}, &oracle{name: "prefixed"}
	v := newIssuers(t, issuers.Config{Trusted: []issuers.Trusted{
		{JWT: verifier(t, ours.URL, "")}, {Opaque: plain}, {Opaque: prefixed, OpaquePrefix: "ory_at_"},
	}})
	jwt := ours.Token(t, meshtest.Claims{})
	for _, tt := range []struct {
		name, token, reader string
		refused             bool
	}{
		{name: "one with a prefix", token: "ory_at_abc.def", reader: "prefixed"},
		{name: "one without", token: "abcdef", reader: "plain"},
		{name: "a token that is for another reader", token: "rgo_abc", refused: true},
		{name: "an API key", token: "rgk_abc.secret", refused: true},
		{name: "a JWT whose signature is bad", token: jwt[:len(jwt)-4] + "AAAA", refused: true},
		{name: "a JWT of a stranger", token: meshtest.NewIssuer(t).Token(t, meshtest.Claims{}), refused: true},
		{name: "an encrypted JWT", token: "a.b.c.d.e", refused: true},
		{name: "one that is too long", token: strings.Repeat("a", 8<<10+1), refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plain.shown, prefixed.shown = nil, nil
			id, err := v.Verify(t.Context(), tt.token)
			if (err != nil) != tt.refused || id.Subject != tt.reader || tt.refused && len(plain.shown)+len(prefixed.shown) > 0 {
				t.Errorf("got %v, %v; shown to plain %d, to prefixed %d", id, err, len(plain.shown), len(prefixed.shown))
			}
		})
	}
}

func TestIssuersThatCouldBeMistakenForEachOtherAreNotTrusted(t *testing.T) {
	a, b := meshtest.NewIssuer(t), meshtest.NewIssuer(t)
	for want, trusted := range map[string][]issuers.Trusted{
		"nobody is trusted":         nil,
		"no kind of token":          {{}},
		"share the namespace \"\"":  {{JWT: verifier(t, a.URL, "")}, {JWT: verifier(t, b.URL, "")}},
		"share the namespace \"x\"": {{JWT: verifier(t, a.URL, "x")}, {JWT: verifier(t, b.URL, "x")}},
		"is trusted twice":          {{JWT: verifier(t, a.URL, "x")}, {JWT: verifier(t, a.URL, "y")}},
		"the prefix \"p\"":          {{Opaque: &oracle{name: "x"}, OpaquePrefix: "p"}, {Opaque: &oracle{name: "y"}, OpaquePrefix: "p"}},
	} {
		if _, err := issuers.New(issuers.Config{Trusted: trusted}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
