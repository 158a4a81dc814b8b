package oauth

import (
	"encoding/json"
	"net/url"
	"slices"
)

// claimsParameter is the "claims" parameter (OpenID Connect Core, section 5.5). A claim may be null.
type claimsParameter struct {
	UserInfo map[string]*requestedClaim `json:"userinfo"`
	IDToken  map[string]*requestedClaim `json:"id_token"`
}

// requestedClaim says how a single claim is wanted.
type requestedClaim struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

// readClaims reads the claims parameter. Claims that there are not, or that the client may not see by any scope, are left
// out of the answer: to ask for them is no error.
func (a *Authorization) readClaims(form url.Values, client *Client) error {
	if !form.Has("claims") {
		return nil
	}
	var asked *claimsParameter
	if err := json.Unmarshal([]byte(form.Get("claims")), &asked); err != nil || asked == nil {
		return refuse(CodeInvalidRequest, "claims must be a JSON object as of OpenID Connect Core, section 5.5")
	}
	a.UserInfoClaims = permitted(asked.UserInfo, client)
	a.IDTokenClaims = permitted(asked.IDToken, client)
	for _, claims := range []map[string]*requestedClaim{asked.UserInfo, asked.IDToken} {
		if err := a.readSubject(claims["sub"]); err != nil {
			return err
		}
	}
	if acr := asked.IDToken["acr"]; acr != nil && acr.Essential {
		a.NeedsACR = true
		if !acr.satisfiedBy(acrPassword) {
			return errUnmetAuthentication()
		}
	}
	return nil
}

func permitted(asked map[string]*requestedClaim, client *Client) []string {
	var names []string
	for _, c := range claimsOfPersons {
		if _, wanted := asked[c.name]; wanted && slices.Contains(client.Scopes, c.scope) {
			names = append(names, c.name)
		}
	}
	return names
}

// readSubject reads for whom alone the answer may be.
func (a *Authorization) readSubject(sub *requestedClaim) error {
	if sub == nil || sub.Value == nil {
		return nil
	}
	wanted, ok := sub.Value.(string)
	if !ok || wanted == "" {
		return refuse(CodeInvalidRequest, "the value of sub must be a string")
	}
	if a.Subject != "" && a.Subject != wanted {
		return refuse(CodeLoginRequired, "two different persons are asked for")
	}
	a.Subject = wanted
	return nil
}

// satisfiedBy tells whether a claim that has this value is what is wanted.
func (c *requestedClaim) satisfiedBy(value string) bool {
	return c.Value == nil && len(c.Values) == 0 || c.Value == value || slices.Contains(c.Values, any(value))
}

func errUnmetAuthentication() error {
	return refuse(CodeUnmetAuthentication, "no acr that is asked for as essential can be told here")
}
