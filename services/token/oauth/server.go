package oauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// Lifetimes.
const (
	// codeLifetime is RFC 9700's advice: a minute is enough for a redirect.
	codeLifetime = 60 * time.Second
	// idTokenLifetime is how long an ID token may be used to log in somewhere; sessions have their own lifetime.
	idTokenLifetime = time.Hour
	// grantLifetime is how long a refresh family lives, however often it is renewed, unless its client has another lifetime.
	grantLifetime = 30 * 24 * time.Hour
	// graceWindow is how long the last refresh token is answered with the same successor, for a client whose first
	// answer was lost on the way.
	graceWindow = 10 * time.Second
	// clockLeeway is added to how long a revocation is remembered, for verifiers whose clock is behind.
	clockLeeway = 2 * time.Minute
	// TokensLive is when the last token issued by now has expired for everybody, whatever lifetime its client had when it
	// was issued.
	TokensLive = MaxAccessTokenLifetime + clockLeeway
)

// Config says what a Server works with. Everything is required unless it says what its absence means.
type Config struct {
	// Issuer is the "iss" of every token: the URL under which the server is reached, without a trailing slash.
	Issuer string
	// MACKey authenticates refresh tokens and encrypts opaque access tokens; at least 32 bytes. Whoever has the database but
	// not this key can make neither.
	MACKey   []byte
	Clients  ClientStore
	Accounts AccountStore
	Grants   GrantStore
	Consents ConsentStore
	Codes    CodeStore
	Devices  DeviceStore
	Pushes   PushedStore
	// Assertions keeps client assertions from being used twice.
	Assertions AssertionStore
	// Proofs checks DPoP proofs.
	Proofs Proofs
	// ClientAuthorities are who the certificates come from that clients authenticate by (tls_client_auth). Nil for none.
	ClientAuthorities *x509.CertPool
	// Attempts bounds what strangers can have us keep, and how often codes can be guessed.
	Attempts    account.Attempts
	Marks       RevokedGrants
	Revocations RevocationLog
	Passwords   Passwords
	Keys        Signer
	// Reused is called when a spent refresh token has ended its family.
	Reused func()
	// KeyUsed is called with the id of every API key that got a token. It must not block.
	KeyUsed func(id string)
	Now     func() time.Time
	Logger  *slog.Logger
}

// Server decides on OAuth and OpenID Connect requests. It is safe for concurrent use.
type Server struct {
	Config
	grants map[string]prover
	opaque opaque
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	if len(cfg.MACKey) < 32 {
		return nil, fmt.Errorf("the key for refresh tokens has %d bytes, want at least 32", len(cfg.MACKey))
	}
	opaque, err := newOpaque(cfg.MACKey)
	if err != nil {
		return nil, err
	}
	s := &Server{Config: cfg, opaque: opaque}
	s.grants = map[string]prover{
		GrantAuthorizationCode: s.proveByCode,
		GrantClientCredentials: s.proveByClient,
		GrantRefreshToken:      s.proveByRefreshToken,
		GrantPassword:          s.proveByPassword,
		GrantDeviceCode:        s.proveByDevice,
		GrantTokenExchange:     s.proveByExchange,
	}
	return s, nil
}

// AuthMethod is how a client authenticated itself (RFC 6749, section 2.3; OpenID Connect Core, section 9).
type AuthMethod string

// Methods of client authentication.
const (
	AuthNone  AuthMethod = "none"
	AuthBasic AuthMethod = "client_secret_basic"
	AuthPost  AuthMethod = "client_secret_post"
	// AuthPrivateKeyJWT is an assertion that is signed with a key of the client's own.
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"
	// AuthTLS and AuthSelfSignedTLS are a certificate, of an authority or of the client's own (RFC 8705, section 2).
	AuthTLS           AuthMethod = "tls_client_auth"
	AuthSelfSignedTLS AuthMethod = "self_signed_tls_client_auth"
)

// AuthMethods is the list of those that need no mutual TLS.
var AuthMethods = []AuthMethod{AuthBasic, AuthPost, AuthPrivateKeyJWT, AuthNone}

// Credentials are what a client sent to authenticate itself.
type Credentials struct {
	Method AuthMethod
	// ClientID may be empty with an assertion, which names the client.
	ClientID  string
	Secret    string
	Assertion string
	// Certificates are what the sender has proven to hold by mutual TLS: its own certificate, and then those between it and
	// an authority. They go beside any method, and authenticate with AuthNone.
	Certificates []*x509.Certificate
}

// Authenticate returns the client whose credentials these are. Any failure is the same invalid_client.
func (s *Server) Authenticate(ctx context.Context, cred Credentials) (Client, error) {
	var asserted assertion
	if cred.Method == AuthPrivateKeyJWT {
		read, ok := readAssertion(cred.Assertion)
		if !ok || cred.ClientID != "" && cred.ClientID != read.client {
			return Client{}, errInvalidClient()
		}
		asserted, cred.ClientID = read, read.client
	}
	if cred.ClientID == "" || len(cred.ClientID) > 64 {
		return Client{}, errInvalidClient()
	}
	client, err := s.Clients.Client(ctx, cred.ClientID)
	if errors.Is(err, ErrNotFound) {
		return Client{}, errInvalidClient()
	}
	if err != nil {
		return Client{}, fmt.Errorf("looking up a client: %w", err)
	}
	authentic := false
	switch cred.Method {
	case AuthBasic, AuthPost:
		authentic = !client.Public && client.hasSecret(cred.Secret, s.Now())
	case AuthNone:
		authentic = client.Public || s.hasCertificate(&client, cred.Certificates)
	case AuthPrivateKeyJWT:
		if client.Live(s.Now()) { // or the assertion is not spent on it
			authentic, err = s.proves(ctx, &client, asserted)
		}
	}
	if err != nil {
		return Client{}, err
	}
	if !authentic || !client.Live(s.Now()) {
		return Client{}, errInvalidClient()
	}
	return client, nil
}
