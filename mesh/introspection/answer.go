package introspection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// maxAnswer is the longest answer read, in bytes.
const maxAnswer = 64 << 10

// ask asks the issuer what token means (RFC 7662, section 2.1). Errors say that it could not tell.
func (v *Verifier) ask(ctx context.Context, token string) (map[string]json.RawMessage, error) {
	endpoint, err := v.where(ctx)
	if err != nil {
		return nil, err
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if v.cfg.Key != nil {
		if err := v.assert(form); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", endpoint, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if v.cfg.Key == nil {
		req.SetBasicAuth(url.QueryEscape(v.cfg.ClientID), url.QueryEscape(v.cfg.Secret)) // RFC 6749, section 2.3.1
	}
	body, err := v.http.Do(req, maxAnswer)
	if err != nil {
		return nil, err
	}
	answer, err := jose.Members(body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", endpoint, err)
	}
	if active := string(answer["active"]); active != "true" && active != "false" {
		return nil, errors.New("the answer of " + endpoint + " does not say whether the token is active")
	}
	return answer, nil
}

// where is the endpoint, discovered once.
func (v *Verifier) where(ctx context.Context) (string, error) {
	if known := v.endpoint.Load(); known != nil {
		return *known, nil
	}
	select {
	case v.discovering <- struct{}{}:
		defer func() { <-v.discovering }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if known := v.endpoint.Load(); known != nil {
		return *known, nil
	}
	found, err := v.http.Endpoint(ctx, v.cfg.Issuer, "introspection_endpoint")
	if err != nil {
		return "", err
	}
	v.endpoint.Store(&found)
	return found, nil
}

// read returns whom the token speaks for, by an answer that was asked for at a time.
func (v *Verifier) read(answer map[string]json.RawMessage, token string, asked time.Time) (mesh.Identity, error) {
	if string(answer["active"]) != "true" {
		return mesh.Identity{}, refused("inactive", "the issuer says that the token is not active")
	}
	if err := v.checkType(answer); err != nil {
		return mesh.Identity{}, err
	}
	end := asked.Add(v.cfg.MaxLife)
	if _, said := answer["exp"]; !said && v.cfg.NoExpiry {
		answer["exp"] = json.RawMessage(strconv.FormatInt(end.Unix(), 10))
	}
	if _, said := answer["iss"]; !said { // optional, and the endpoint is the issuer's own
		answer["iss"], _ = json.Marshal(v.cfg.Issuer)
	}
	id, err := v.claims.Read(answer, token, asked)
	if err != nil {
		return mesh.Identity{}, err
	}
	if typ, _ := jose.Text(answer, "token_type"); strings.EqualFold(typ, "DPoP") && id.Confirmation.JKT == "" {
		return mesh.Identity{}, refused("malformed", "the token is bound to a key that the answer does not name")
	}
	if id.Expiry.After(end) {
		id.Expiry = end
	}
	return id, nil
}

// checkType demands that the answer tells an access token from a refresh token, which issuers introspect as well.
func (v *Verifier) checkType(answer map[string]json.RawMessage) error {
	typ, said := jose.Text(answer, "token_type")
	switch {
	case said && (strings.EqualFold(typ, "Bearer") || strings.EqualFold(typ, "DPoP")):
		return nil
	case !said && len(v.cfg.Claims.Require) > 0:
		return nil
	default:
		return refused("wrong_type", "nothing says that the token is an access token")
	}
}
