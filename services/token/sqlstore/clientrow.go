package sqlstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// errFields is a row whose fields are not the columns that were asked for.
var errFields = errors.New("the row has not as many fields as columns")

const clientColumns = `id, name, kind, owner, secret_hash, public, grants, redirect_uris, post_logout_uris, scopes, first_party,
	access_token_lifetime, access_alg, id_alg, created_at, disabled_at, previous_secret_hash, previous_secret_until, secret_prefix,
	expires_at, last_used_at, jwks, opaque_tokens, refresh_token_lifetime, id_token_lifetime, pkce_optional,
	require_pushed_requests, backchannel_logout_uri, epoch, tls_auth_by, tls_auth_name, dpop_bound_tokens, certificate_bound_tokens`

// betweenFields is the unit separator of ASCII. No field can hold one: names are text without control characters, and the
// others are numbers, hexadecimal, JSON, or lists of identifiers and URIs.
const betweenFields = "\x1f"

// clientRow is a client as one text. The row is all that a client credentials request asks of the database, and thirty-three
// columns by themselves cost the driver three times as much as one.
const clientRow = `concat_ws('` + betweenFields + `', ` + clientColumns + `)`

func scanClient(row scanner) (oauth.Client, error) {
	var text string
	if err := row.Scan(&text); err != nil {
		return oauth.Client{}, err
	}
	f := fields{rest: text}
	c := oauth.Client{
		ID: f.text(), Name: f.text(), Kind: oauth.ClientKind(f.text()), Owner: f.text(), SecretHash: f.hex(), Public: f.bool(),
		Grants: f.list(), RedirectURIs: f.list(), PostLogoutURIs: f.list(), Scopes: f.list(), FirstParty: f.bool(),
		AccessTokenLifetime: f.duration(), AccessAlg: keys.Alg(f.text()), IDAlg: keys.Alg(f.text()), Created: f.time(), Disabled: f.time(),
		PreviousSecretHash: f.hex(), PreviousSecretUntil: f.time(), SecretPrefix: f.text(), Expires: f.time(), LastUsed: f.time(),
		JWKS: f.text(), OpaqueTokens: f.bool(), RefreshTokenLifetime: f.duration(), IDTokenLifetime: f.duration(), PKCEOptional: f.bool(),
		RequirePushedRequests: f.bool(), BackchannelLogoutURI: f.text(), Epoch: f.number(),
		TLSAuth: oauth.TLSAuth{By: oauth.TLSAuthBy(f.text()), Name: f.text()}, DPoPBoundTokens: f.bool(), CertificateBoundTokens: f.bool(),
	}
	if f.err == nil && !f.ended {
		f.err = errFields
	}
	if f.err != nil {
		return oauth.Client{}, fmt.Errorf("client %q: %w", c.ID, f.err)
	}
	return c, nil
}

// fields reads the fields of a row one after the other, in the order of its columns. The first error stays.
type fields struct {
	rest  string
	ended bool
	err   error
}

func (f *fields) text() string {
	if f.ended {
		f.failed(errFields)
		return ""
	}
	field, rest, more := strings.Cut(f.rest, betweenFields)
	f.rest, f.ended = rest, !more
	return field
}

func (f *fields) failed(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) number() int64 {
	n, err := strconv.ParseInt(f.text(), 10, 64)
	if err != nil {
		f.failed(err)
	}
	return n
}

// bool reads what SQLite and PostgreSQL write.
func (f *fields) bool() bool {
	switch field := f.text(); field {
	case "1", "t":
		return true
	case "0", "f":
	default:
		f.failed(fmt.Errorf("%q is no truth value", field))
	}
	return false
}

func (f *fields) hex() []byte {
	raw, err := hex.DecodeString(f.text())
	if err != nil {
		f.failed(err)
	}
	return raw
}

func (f *fields) list() []string          { return split(f.text()) }
func (f *fields) time() time.Time         { return sqldb.Time(f.number()) }
func (f *fields) duration() time.Duration { return time.Duration(f.number()) * time.Microsecond }
