// Package credential turns what an API client puts into its Authorization header into an access token that the services can
// read: a JWT as it is, an API key by exchanging it at the identity provider, an opaque token by asking there what it means.
//
// It holds no credential store. Of a key or an opaque token only the JWT is kept, in memory, until that ends.
package credential

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/realguardio/realguardio/mesh"
)

// keyPrefix is how the id of every API key begins.
const keyPrefix = "rgk_"

// maxLength is the longest Authorization value looked at, in bytes.
const maxLength = 8<<10 + 16

// ErrTwo says that there is more than one credential in what should be one. They are never ranked: a caller able to add
// a header must not be able to choose which one counts.
var ErrTwo = errors.New("credential: more than one")

// ErrRefused is what an [Exchanger] returns when the identity provider does not know the key, or not with that secret, and an
// [Introspector] when it does not know the token, or not any more.
var ErrRefused = errors.New("credential: refused")

// unauthenticated is the one answer to every credential that is not good.
func unauthenticated() error { return mesh.Unauthenticated("INVALID_TOKEN") }

// Access is an access token that may be used now, and what it says.
type Access struct {
	Token    string
	Identity mesh.Identity
}

// Checker checks credentials. It is safe for concurrent use.
type Checker struct {
	verifier    mesh.Verifier
	revocations mesh.Revocations
	keys        *keys
	opaques     *opaques
}

// Check returns the access token that an Authorization value stands for. from is the client's address, by which failing
// attempts are slowed down. Its errors are [ErrTwo] and refusals made by mesh.
func (c *Checker) Check(ctx context.Context, authorization, from string) (Access, error) {
	token, key, err := parse(authorization)
	if err != nil {
		return Access{}, err
	}
	if key.id != "" {
		return c.keys.access(ctx, key, from)
	}
	if strings.HasPrefix(token, opaquePrefix) {
		return c.opaques.access(ctx, token, from)
	}
	id, err := c.verifier.Verify(ctx, token)
	switch {
	case errors.Is(err, mesh.ErrCannotVerify):
		return Access{}, mesh.Unavailable("the identity provider")
	case err != nil:
		return Access{}, unauthenticated()
	case c.revocations.Revoked(id):
		return Access{}, mesh.Ended(c.revocations, id)
	}
	return Access{Token: token, Identity: id}, nil
}

// apiKey is a key's id and secret.
type apiKey struct{ id, secret string }

// String hides the secret from logs.
func (k apiKey) String() string { return k.id }

// parse returns the bearer token or the API key in an Authorization value: Basic key:secret, Bearer key.secret, or Bearer
// and an access token.
func parse(authorization string) (token string, key apiKey, err error) {
	if len(authorization) > maxLength {
		return "", apiKey{}, unauthenticated()
	}
	if strings.Contains(authorization, ",") {
		return "", apiKey{}, ErrTwo
	}
	scheme, value, _ := strings.Cut(authorization, " ")
	value = strings.TrimLeft(value, " ")
	if value == "" || strings.ContainsAny(value, " \t") {
		return "", apiKey{}, unauthenticated()
	}
	switch {
	case strings.EqualFold(scheme, "Basic"):
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", apiKey{}, unauthenticated()
		}
		id, secret, _ := strings.Cut(string(raw), ":")
		key, err := newKey(id, secret)
		return "", key, err
	case !strings.EqualFold(scheme, "Bearer"):
		return "", apiKey{}, unauthenticated()
	case strings.HasPrefix(value, keyPrefix):
		id, secret, _ := strings.Cut(value, ".")
		key, err := newKey(id, secret)
		return "", key, err
	default:
		return value, apiKey{}, nil
	}
}

// newKey refuses what cannot be an API key, so that other clients' credentials are not tried through here.
func newKey(id, secret string) (apiKey, error) {
	if !strings.HasPrefix(id, keyPrefix) || len(id) > 128 || secret == "" || len(secret) > 256 {
		return apiKey{}, unauthenticated()
	}
	for _, c := range []byte(id + secret) {
		if c <= ' ' || c > '~' {
			return apiKey{}, unauthenticated()
		}
	}
	return apiKey{id: id, secret: secret}, nil
}
