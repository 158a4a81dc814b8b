package oauth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
)

// logoutTokenLifetime is short, as each try to deliver one makes another.
const logoutTokenLifetime = 2 * time.Minute

// logoutEvent makes a token a logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims never have a nonce, which an ID token has (OpenID Connect Back-Channel Logout, section 2.4).
type logoutClaims struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  string              `json:"aud"`
	IssuedAt  int64               `json:"iat"`
	Expiry    int64               `json:"exp"`
	TokenID   string              `json:"jti"`
	SessionID string              `json:"sid"`
	Events    map[string]struct{} `json:"events"`
}

// LogoutToken tells a client that a login session is over. Its type keeps it from being taken for any other token.
func (s *Server) LogoutToken(client *Client, user, session string) (string, error) {
	now := s.Now()
	payload, err := json.Marshal(&logoutClaims{
		Issuer: s.Issuer, Subject: user, Audience: client.ID, IssuedAt: now.Unix(), Expiry: now.Add(logoutTokenLifetime).Unix(),
		TokenID: rand.Text(), SessionID: session, Events: map[string]struct{}{logoutEvent: {}},
	})
	if err != nil {
		return "", fmt.Errorf("encoding a logout token: %w", err)
	}
	return s.Keys.Sign(client.IDAlg, keys.TypLogoutToken, payload)
}

// visit records that a client was opened in a session, before it is answered: who gets an answer is told of the end.
func (s *Server) visit(ctx context.Context, session *account.Session, client *Client) error {
	err := s.Accounts.VisitSession(ctx, session.ID, client.ID)
	if errors.Is(err, account.ErrNotFound) { // ended at this moment
		return refuse(CodeLoginRequired, "the person has signed out")
	}
	if err != nil {
		return fmt.Errorf("recording where a session was opened: %w", err)
	}
	return nil
}

func checkLogoutURI(c *Client) error {
	if c.BackchannelLogoutURI == "" {
		return nil
	}
	why := redirectProblem(c.BackchannelLogoutURI, false)
	if u, err := url.Parse(c.BackchannelLogoutURI); why == "" && err == nil {
		// Names are looked at when they are asked for.
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.Unmap().IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()) {
			why = "must not be a link-local, multicast or unspecified address"
		}
	}
	if len(c.BackchannelLogoutURI) > maxURILength {
		why = "must have at most 2000 characters"
	}
	if why != "" {
		return &MetadataError{"backchannelLogoutUri", why}
	}
	return nil
}
