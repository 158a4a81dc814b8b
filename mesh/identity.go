package mesh

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// Kind says what stands behind a token.
type Kind string

const (
	// KindUser is a person, through some client.
	KindUser Kind = "user"
	// KindClient is an application or an API key on its own behalf.
	KindClient Kind = "client"
	// KindWorkload is one of the mesh's own parts on its own behalf.
	KindWorkload Kind = "workload"
)

// Identity is what a verified access token says about its caller (RFC 9068, section 2.2).
type Identity struct {
	// Subject is "sub": stable and opaque. For a client or workload it equals ClientID.
	Subject string
	Kind    Kind
	// ClientID is "client_id": who asked for the token.
	ClientID string
	// SessionID is "sid", the login session. Users only.
	SessionID string
	// TokenID is "jti".
	TokenID string
	// GrantID is "gid": the refresh family or authorization code the token came from.
	GrantID string
	// KeyID is "kid", the key that signed the token.
	KeyID  string
	Issuer string
	// Name and Email are personal data: for display, never for a decision, never for a log.
	Name, Email string
	// ACR is the authentication context class (RFC 9470).
	ACR string

	Roles    []string
	Scopes   []string
	Audience []string

	// Actors are who acts for the subject, by "sub" of each "act" (RFC 8693, section 4.1): first the one that got this
	// token in exchange for another, then the one that had got that, and so on. For the record: what may be done is
	// decided by the subject. The end of one of these clients is the end of the token. Empty for a token that was not
	// exchanged.
	Actors []string
	// DerivedFrom are the "jti" of the tokens that this one was exchanged from, the nearest first. The end of one of them
	// is the end of this one.
	DerivedFrom []string
	// DerivedKeys are the "kid" of the keys that signed those tokens, as far as they were signed. A key that was withdrawn
	// may have been anybody's, and so may what was got for its tokens.
	DerivedKeys []string

	// Confirmation is the key that the token is bound to; empty for a bearer token.
	Confirmation Confirmation

	// Epoch is the subject's epoch when the token was issued; a revocation may end everything below one.
	Epoch int64
	// AuthTime is when the person last authenticated. Zero for clients and workloads.
	AuthTime time.Time
	IssuedAt time.Time
	Expiry   time.Time
}

// Confirmation says which key the sender of a token must prove to hold ("cnf", RFC 7800, section 3.1). At most one of
// its fields is set.
type Confirmation struct {
	// JKT is the SHA-256 thumbprint of a JWK (RFC 7638), in base64url: the sender proves it by DPoP (RFC 9449, section 6.1).
	JKT string
	// X5T is the SHA-256 digest of a certificate, in base64url ("x5t#S256"): the sender proves it by mutual TLS (RFC 8705,
	// section 3.1).
	X5T string
}

// Bound reports whether there is a key to prove.
func (c Confirmation) Bound() bool { return c != Confirmation{} }

// HasRole reports whether the token carries role.
func (i Identity) HasRole(role string) bool { return slices.Contains(i.Roles, role) }

// HasScope reports whether the token carries scope.
func (i Identity) HasScope(scope string) bool { return slices.Contains(i.Scopes, scope) }

// String names the caller without personal data.
func (i Identity) String() string {
	switch i.Kind {
	case "":
		return "anonymous"
	case KindUser:
		return "user " + i.Subject + " via " + i.ClientID
	default:
		return string(i.Kind) + " " + i.Subject
	}
}

// LogValue logs the caller without personal data.
func (i Identity) LogValue() slog.Value {
	if i.Kind == "" {
		return slog.StringValue("anonymous")
	}
	attrs := []slog.Attr{
		slog.String("kind", string(i.Kind)),
		slog.String("sub", i.Subject),
		slog.String("client", i.ClientID),
	}
	if len(i.Actors) > 0 {
		attrs = append(attrs, slog.Any("actors", i.Actors))
	}
	return slog.GroupValue(attrs...)
}

// callerKey is the context key of *caller. It is unexported and has no setter outside the guard, so that a handler can
// neither lose nor invent a caller.
type callerKey struct{}

// caller is what the guard puts into a context: who calls, and the token that proves it, which only Forward reads.
type caller struct {
	identity Identity
	token    string
}

func withCaller(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerFrom(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// FromContext returns the caller of the RPC that ctx belongs to. It reports false where the guard let nobody in: outside
// an RPC, and in a public one.
func FromContext(ctx context.Context) (Identity, bool) {
	c := callerFrom(ctx)
	if c == nil {
		return Identity{}, false
	}
	id := c.identity
	// The verified identity is shared by all calls with this token; a handler gets slices of its own.
	id.Roles = slices.Clone(id.Roles)
	id.Scopes = slices.Clone(id.Scopes)
	id.Audience = slices.Clone(id.Audience)
	id.Actors = slices.Clone(id.Actors)
	id.DerivedFrom = slices.Clone(id.DerivedFrom)
	id.DerivedKeys = slices.Clone(id.DerivedKeys)
	return id, true
}

// Caller is [FromContext] for handlers behind a rule that is not public. Where there is no caller it returns the zero
// Identity, whose Kind is empty and which has no role or scope.
func Caller(ctx context.Context) Identity {
	id, _ := FromContext(ctx)
	return id
}
