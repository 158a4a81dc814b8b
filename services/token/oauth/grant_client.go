package oauth

import (
	"context"
	"slices"
)

// proveByClient is the client credentials grant (RFC 6749, section 4.4): the client has proven itself already. Nothing
// is stored, and no scope about a person is given.
func (s *Server) proveByClient(_ context.Context, client *Client, scopes []string, _ TokenRequest) (claim, error) {
	if slices.ContainsFunc(scopes, personal) {
		return claim{}, refuse(CodeInvalidScope, "a scope about a person needs a person")
	}
	if len(scopes) == 0 {
		scopes = slices.DeleteFunc(slices.Clone(client.Scopes), personal)
	}
	return claim{scopes: scopes}, nil
}
