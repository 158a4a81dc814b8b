package oauth

import (
	"context"
	"errors"

	"github.com/realguardio/realguardio/services/token/account"
)

// proveByPassword is the resource owner password credentials grant (RFC 6749, section 4.3). RFC 9700, section 2.4,
// forbids it: it shows the password to the client. It exists for clients that cannot do without yet, one by one.
func (s *Server) proveByPassword(ctx context.Context, client *Client, scopes []string, req TokenRequest) (claim, error) {
	email, password := req.Form.Get("username"), req.Form.Get("password")
	if email == "" || password == "" {
		return claim{}, refuse(CodeInvalidRequest, "username and password are required")
	}
	scopes, err := within(scopes, client.Scopes)
	if err != nil {
		return claim{}, err
	}
	// No device: a password that comes by way of a client is never from a browser that we know.
	user, err := s.Passwords.Password(ctx, account.Try{Email: email, Password: password, Address: req.Address})
	if limited, ok := errors.AsType[*account.LimitError](err); ok {
		return claim{}, &Error{Code: CodeSlowDown, Description: "too many failed attempts", RetryAfter: limited.RetryAfter}
	}
	if errors.Is(err, account.ErrRefused) {
		return claim{}, refuse(CodeInvalidGrant, "wrong user name or password")
	}
	if err != nil {
		return claim{}, err
	}
	s.Logger.WarnContext(ctx, "the password grant was used; it is deprecated (RFC 9700, section 2.4)", "client_id", client.ID, "subject", user.ID)
	now := s.Now()
	grant := newGrant(client, &user, scopes, now)
	grant.AuthTime, grant.Methods, grant.Audience = now, []string{account.MethodPassword}, req.resources
	return s.open(ctx, client, &user, grant, req.sender)
}
