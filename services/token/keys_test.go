package token_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/token"
	"github.com/realguardio/realguardio/services/token/keys"
)

// front is several processes on the same stores behind one address, which is the issuer's.
type front struct {
	*server
	replicas []*server
	// fetches counts requests for the key set.
	fetches atomic.Int64
}

// startReplicas starts n processes and takes requests to them in turn.
func startReplicas(t *testing.T, st stores, n int) *front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + listener.Addr().String()
	f := &front{}
	c, l := &clock{}, &logs{}
	for range n {
		f.replicas = append(f.replicas, begin(t, st, "127.0.0.1:0", c, l, func(cfg *token.Config) { cfg.Issuer = issuer }))
	}
	f.server = f.replicas[0]
	var turn atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.Path == "/oauth2/jwks" {
			f.fetches.Add(1)
		}
		to, _ := url.Parse(f.replicas[int(turn.Add(1))%n].at)
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	balancer := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = balancer.Serve(listener) })
	t.Cleanup(func() { _ = balancer.Close(); serving.Wait() })
	f.seed()
	return f
}

// asAdmin is a platform admin's context for calls.
func (r *rpc) asAdmin(t *testing.T) context.Context {
	t.Helper()
	const email, secret = "keeper@realguardio.example", "the keeper's password"
	r.user(email, secret, "REALGUARDIO_ADMIN")
	if _, err := r.EnsureClient(t.Context(), adminConsole); err != nil {
		t.Fatal(err)
	}
	to := r.browser().signIn(asks("console", webCallback, "scope", "openid admin"), email, secret).location(t)
	tokens := r.post("/oauth2/token", "console", webSecret, redeems(r.logs.secret(to.Query().Get("code")), webCallback))
	return meshtest.As(t.Context(), tokens.str("access_token"))
}

// signedBy is the key that a client's token is signed with now.
func (s *server) signedBy(client string) string {
	s.t.Helper()
	return keys.IDOf(s.machine(client, serviceSecret).str("access_token"))
}

// direct is s by its own address, where the issuer's is that of several.
func (s *server) direct() *server { one := *s; one.url = s.at; return &one }

// published are the ids of the key set.
func (s *server) published() []string {
	s.t.Helper()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		}
	}
	if err := json.Unmarshal([]byte(s.get("/oauth2/jwks").body), &set); err != nil {
		s.t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	slices.Sort(ids)
	return ids
}

// statuses counts keys by algorithm and status.
func statuses(t *testing.T, s *server) map[string]int {
	t.Helper()
	rows, err := s.db.Query(t.Context(), `SELECT alg, status, count(*) FROM signing_keys GROUP BY alg, status`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var alg, state string
		var n int
		if err := rows.Scan(&alg, &state, &n); err != nil {
			t.Fatal(err)
		}
		out[alg+" "+state] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRotationFailsNoRequest rotates the keys of two replicas three times while tokens are issued by both and verified by
// others, who fetch the keys as everybody does.
func TestRotationFailsNoRequest(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		f := startReplicas(t, st, 2)
		r := f.serveRPC()
		admin := tokenv1.NewAdminServiceClient(r.dial("customer"))
		ctx := r.asAdmin(t)
		verifiers := make([]*jwt.Verifier, 2)
		for i := range verifiers {
			var err error
			if verifiers[i], err = jwt.New(t.Context(), jwt.Config{Issuer: f.url, Audiences: []string{"urn:realguardio:api"}, Now: f.clock.Now}); err != nil {
				t.Fatal(err)
			}
		}
		stop, verified := make(chan struct{}), atomic.Int64{}
		var load sync.WaitGroup
		for i := range 4 {
			load.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					got := f.machine("service", serviceSecret)
					if _, err := verifiers[i%2].Verify(t.Context(), got.str("access_token")); err != nil {
						t.Errorf("%d: %v", got.status, err)
						return
					}
					verified.Add(1)
				}
			})
		}
		for range 3 {
			before := f.signedBy("service")
			rotated, err := admin.RotateSigningKeys(ctx, &tokenv1.RotateSigningKeysRequest{})
			if err != nil || len(rotated.GetKeys()) != 3 {
				t.Fatalf("%v, %v", rotated, err)
			}
			now := rotated.GetKeys()[0]
			if now.GetAlg() != "ES256" || now.GetId() == before || now.GetStatus() != "active" {
				t.Errorf("signs now: %v", now)
			}
			for _, replica := range f.replicas {
				meshtest.Await(t, "every replica signs with the new key", func() bool { return replica.direct().signedBy("service") == now.GetId() })
			}
			if _, err := admin.RotateSigningKeys(ctx, &tokenv1.RotateSigningKeysRequest{}); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("the next keys have only just been published: %v", err)
			}
			f.clock.Advance(121 * time.Second)
			meshtest.Await(t, "the revocation feed is heard again", func() bool { return !r.set.Stale() })
		}
		close(stop)
		load.Wait()
		t.Logf("%d tokens verified, the key set fetched %d times", verified.Load(), f.fetches.Load())
		// serveRPC's verifier is the third; one fetch at the start and one for each rotation after the first.
		if n := f.fetches.Load(); n > 3*4 {
			t.Errorf("the key set was fetched %d times", n)
		}
		want := map[string]int{}
		for _, alg := range keys.Algs {
			want[string(alg)+" next"], want[string(alg)+" active"], want[string(alg)+" retired"] = 1, 1, 3
		}
		if got := statuses(t, f.server); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("keys are %v, want %v", got, want)
		}
	})
}

// TestKeysAreReplacedOnSchedule moves the clock of two replicas over a key's life.
func TestKeysAreReplacedOnSchedule(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		f := startReplicas(t, st, 2)
		old := f.signedBy("service")
		token := f.machine("service", serviceSecret).str("access_token")
		f.clock.Advance(keys.DefaultLifetime - time.Hour)
		if now := f.signedBy("service"); now != old {
			t.Error("replaced too early")
		}
		f.clock.Advance(2 * time.Hour)
		for _, replica := range f.replicas {
			meshtest.Await(t, "the next key signs", func() bool { return replica.direct().signedBy("service") != old })
		}
		each := func(retired int) func() bool {
			return func() bool {
				got := statuses(t, f.server)
				for _, alg := range keys.Algs {
					a := string(alg)
					if got[a+" active"] != 1 || got[a+" next"] != 1 || got[a+" retired"] != retired {
						return false
					}
				}
				return true
			}
		}
		meshtest.Await(t, "each algorithm was rotated, once", each(1))
		for _, replica := range f.replicas {
			meshtest.Await(t, "what signed, signs and will sign is published", func() bool {
				got := replica.direct().published()
				return len(got) == 9 && slices.Contains(got, old)
			})
		}
		f.clock.Advance(25 * time.Hour)
		meshtest.Await(t, "what nothing is signed with any more is gone", each(0))
		for _, replica := range f.replicas {
			meshtest.Await(t, "nor published", func() bool { return len(replica.direct().published()) == 6 })
		}
		if f.accepted(token) {
			t.Error("a token of a day ago is accepted")
		}
	})
}

// TestAKeyThatIsRevoked ends with everything that it signed, at once and everywhere; one that is rotated out does not.
func TestAKeyThatIsRevoked(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		f := startReplicas(t, st, 2)
		f.exchangers()
		r := f.serveRPC()
		admin := tokenv1.NewAdminServiceClient(r.dial("customer"))
		stolen := f.tokens()
		key := keys.IDOf(stolen.str("access_token"))
		if _, err := admin.RotateSigningKeys(r.asAdmin(t), &tokenv1.RotateSigningKeysRequest{Algs: []string{"ES256"}}); err != nil {
			t.Fatal(err)
		}
		for _, replica := range f.replicas {
			meshtest.Await(t, "the next key signs", func() bool { return replica.direct().signedBy("service") != key })
		}
		ctx := r.asAdmin(t) // by a token of the new key
		r = f.serveRPC()    // and likewise its feed
		admin = tokenv1.NewAdminServiceClient(r.dial("customer"))
		if !f.accepted(stolen.str("access_token")) {
			t.Error("a token of a key that was only rotated out is refused")
		}
		laundered := f.exchange("securitysystem", stolen.str("access_token"))
		twice := f.exchange("customer", laundered.str("access_token"))
		if got := keys.IDOf(twice.str("access_token")); got == "" || got == key || !f.accepted(twice.str("access_token")) {
			t.Fatalf("exchanged for one of %q: %s", got, twice.body)
		}
		if _, err := admin.RevokeSigningKey(ctx, &tokenv1.RevokeSigningKeyRequest{KeyId: "no-such-key"}); status.Code(err) != codes.NotFound {
			t.Errorf("a key that there is not: %v", err)
		}
		for range 2 {
			revoked, err := admin.RevokeSigningKey(ctx, &tokenv1.RevokeSigningKeyRequest{KeyId: key})
			if err != nil || revoked.GetKey().GetStatus() != "revoked" || revoked.GetKey().GetRetireTime() == nil {
				t.Fatalf("%v, %v", revoked, err)
			}
		}
		for _, replica := range f.replicas {
			if replica.direct().accepted(stolen.str("access_token")) {
				t.Error("its token is accepted by the issuer itself")
			}
			meshtest.Await(t, "it is published no more", func() bool { return !slices.Contains(replica.direct().published(), key) })
			if replica.direct().accepted(laundered.str("access_token")) || replica.direct().accepted(twice.str("access_token")) {
				t.Error("what was got for its token is accepted by the issuer itself")
			}
		}
		r.ends(t, laundered.str("access_token"))
		r.ends(t, twice.str("access_token"))
		r.ends(t, stolen.str("access_token"))
		if got := f.browser().open("/oauth2/logout?id_token_hint=" + stolen.str("id_token")); got.status != http.StatusBadRequest {
			t.Errorf("its ID token as a hint: %d", got.status)
		}
		if got := f.refresh(stolen.str("refresh_token")); got.status != http.StatusOK {
			t.Errorf("the refresh token is no token of that key: %d %s", got.status, got.body)
		}
		active := f.signedBy("service")
		if _, err := admin.RevokeSigningKey(ctx, &tokenv1.RevokeSigningKeyRequest{KeyId: active}); err != nil {
			t.Fatal(err)
		}
		for _, replica := range f.replicas {
			meshtest.Await(t, "another key signs", func() bool { return replica.direct().signedBy("service") != active })
		}
		var sealed string
		if err := f.db.QueryRow(t.Context(), `SELECT sealed FROM signing_keys WHERE id = $1`, active).Scan(&sealed); err != nil || sealed != "" {
			t.Errorf("the private half of a revoked key is kept: %v", err)
		}
		listed, err := admin.ListSigningKeys(r.asAdmin(t), &tokenv1.ListSigningKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for i, k := range listed.GetKeys() {
			count[k.GetAlg()+" "+k.GetStatus()]++
			if i > 0 && k.GetCreateTime().AsTime().After(listed.GetKeys()[i-1].GetCreateTime().AsTime()) {
				t.Error("the newest is not first")
			}
		}
		if count["ES256 active"] != 1 || count["ES256 next"] != 1 || count["ES256 revoked"] != 2 || len(listed.GetKeys()) != 8 {
			t.Errorf("listed %v", count)
		}
	})
}

// TestKeysSurviveARestart stops the service in each state that its keys can be in.
func TestKeysSurviveARestart(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.serveRPC()
		ctx := r.asAdmin(t)
		admin := tokenv1.NewAdminServiceClient(r.dial("customer"))
		if _, err := admin.RotateSigningKeys(ctx, &tokenv1.RotateSigningKeysRequest{}); err != nil {
			t.Fatal(err)
		}
		token, signer := s.tokens().str("access_token"), s.signedBy("service")
		meshtest.Await(t, "next keys are made", func() bool { return len(s.published()) == 9 })
		before := s.published()
		s = s.again(st)
		if got := s.published(); !slices.Equal(got, before) || s.signedBy("service") != signer || !s.accepted(token) {
			t.Errorf("published are %v, were %v", got, before)
		}
		for name, lost := range map[string]string{
			"between a rotation and its next keys": `DELETE FROM signing_keys WHERE status = 'next'`,
			"with nothing left that signs":         `DELETE FROM signing_keys WHERE status = 'active'`,
		} {
			s.stop()
			if _, err := s.db.Exec(t.Context(), lost); err != nil {
				t.Fatal(err)
			}
			s = s.again(st)
			meshtest.Await(t, name, func() bool {
				got := statuses(t, s)
				return got["ES256 active"] == 1 && got["ES256 next"] == 1 && got["RS256 active"] == 1 && got["EdDSA next"] == 1
			})
			if got := s.machine("service", serviceSecret); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	})
}

// TestTheKeyEncryptionKeyIsReplaced gives a new one, then takes the old one away.
func TestTheKeyEncryptionKeyIsReplaced(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		s.stop()
		cfg := s.config()
		was, now := cfg.Keys.Encryption, bytes.Repeat([]byte{8}, 32)
		open := func(current []byte, old ...[]byte) error {
			cfg.Keys.Encryption, cfg.Keys.OldEncryption = current, old
			_, err := token.New(cfg)
			return err
		}
		if err := open(now); err == nil || !strings.Contains(err.Error(), "key-encryption key") {
			t.Errorf("with the new one alone, too early: %v", err)
		}
		for range 2 {
			if err := open(now, was); err != nil {
				t.Fatal(err)
			}
		}
		if err := open(was); err == nil {
			t.Error("the old one still opens the keys")
		}
		if err := open(now); err != nil {
			t.Error(err)
		}
		cfg.Keys.SigningLifetime = time.Hour
		if err := open(now); err == nil || !strings.Contains(err.Error(), "two days") {
			t.Errorf("keys that live for an hour: %v", err)
		}
	})
}

// TestAClientChoosesEdDSA has a foreign library check the ID token, and the mesh's verifier the access token.
func TestAClientChoosesEdDSA(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		if _, err := s.EnsureClient(t.Context(), token.ClientSpec{ID: "ed", Name: "Ed", Secret: webSecret, Grants: codeGrants, FirstParty: true,
			RedirectURIs: []string{webCallback}, Scopes: []string{"openid"}, IDTokenAlg: keys.EdDSA, AccessTokenAlg: keys.EdDSA}); err != nil {
			t.Fatal(err)
		}
		code := s.browser().code(asks("ed", webCallback, "scope", "openid"))
		tokens := s.post("/oauth2/token", "ed", webSecret, redeems(code, webCallback))
		provider, err := oidc.NewProvider(t.Context(), s.url)
		if err != nil {
			t.Fatal(err)
		}
		id, err := provider.Verifier(&oidc.Config{ClientID: "ed", SupportedSigningAlgs: []string{"EdDSA"}}).Verify(t.Context(), tokens.str("id_token"))
		if err != nil {
			t.Fatal(err)
		}
		if err := id.VerifyAccessToken(tokens.str("access_token")); err != nil {
			t.Error(err)
		}
		verifier, err := jwt.New(t.Context(), jwt.Config{Issuer: s.url, Audiences: []string{"urn:realguardio:api"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(t.Context(), tokens.str("access_token")); err != nil {
			t.Error(err)
		}
		if !s.accepted(tokens.str("access_token")) {
			t.Error("UserInfo refuses it")
		}
	})
}
