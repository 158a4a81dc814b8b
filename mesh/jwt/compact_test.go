package jwt_test

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// TestARememberedTokenSaysWhatItSaid compares what a token says when it is verified with what is remembered of it.
func TestARememberedTokenSaysWhatItSaid(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL})
	at, thumbprint := time.Unix(time.Now().Unix(), 0), strings.Repeat("A", 43)
	token := iss.Token(t, meshtest.Claims{
		Subject: "u-1", ClientID: "web", SessionID: "s-1", TokenID: "t-1", GrantID: "g-1", Name: "Alice Example", Email: "alice@acme.example", ACR: "2",
		Roles: []string{"A", "B"}, Scopes: []string{"openid", "a.read"}, Epoch: 3, AuthTime: at, Expiry: at.Add(time.Minute),
		Extra: map[string]any{
			"aud": []string{meshtest.Audience, "other"}, "derived_from": []string{"t-0"}, "derived_keys": []string{"k-0"},
			"act": map[string]any{"sub": "gateway"}, "cnf": map[string]any{"jkt": thumbprint},
		},
	})
	for _, when := range []string{"first", "remembered"} {
		got, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		want := mesh.Identity{
			Kind: mesh.KindUser, Issuer: iss.URL, KeyID: got.KeyID,
			Subject: "u-1", ClientID: "web", SessionID: "s-1", TokenID: "t-1", GrantID: "g-1", Name: "Alice Example", Email: "alice@acme.example", ACR: "2",
			Roles: []string{"A", "B"}, Scopes: []string{"openid", "a.read"}, Audience: []string{meshtest.Audience, "other"}, Actors: []string{"gateway"},
			DerivedFrom: []string{"t-0"}, DerivedKeys: []string{"k-0"}, Confirmation: mesh.Confirmation{JKT: thumbprint},
			Epoch: 3, AuthTime: got.AuthTime, IssuedAt: got.IssuedAt, Expiry: got.Expiry,
		}
		if !reflect.DeepEqual(got, want) || !got.Expiry.Equal(at.Add(time.Minute)) {
			t.Errorf("%s: got %+v\nwant %+v", when, got, want)
		}
		if cap(got.Roles) != len(got.Roles) || cap(got.Scopes) != len(got.Scopes) {
			t.Errorf("%s: who appends to one list writes into the next", when)
		}
	}
}

// TestARememberedTokenIsFewPieces counts what the collector has to go through for each token: besides the token, what is known
// of it, its texts and its lists.
func TestARememberedTokenIsFewPieces(t *testing.T) {
	const tokens = 400
	iss := meshtest.NewIssuer(t)
	v := newVerifier(t, jwt.Config{Issuer: iss.URL})
	all := make([]string, tokens)
	for i := range all {
		all[i] = iss.Token(t, meshtest.Claims{SessionID: "s", GrantID: "g", Name: "Alice", Email: "a@b.example", Roles: []string{"A", "B"}, Scopes: []string{"a", "b"}})
	}
	pieces := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	before := pieces()
	for _, token := range all {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if grown := float64(pieces()-before) / tokens; grown > 5 {
		t.Errorf("%.1f pieces of memory for each token", grown)
	}
	runtime.KeepAlive(all)
	runtime.KeepAlive(v)
}
