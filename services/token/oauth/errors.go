package oauth

import (
	"context"
	"errors"
	"time"
)

// Error is a refusal that the client is told about (RFC 6749, sections 4.1.2.1 and 5.2). Nothing in it is secret.
type Error struct {
	// Code is the "error" parameter.
	Code string
	// Description is for the client's developer: ASCII, without quotes (RFC 6749, section 5.2).
	Description string
	// RetryAfter is set with CodeSlowDown, unless that is for a device that polls (RFC 8628, section 3.5).
	RetryAfter time.Duration
	// ByDPoP says that a resource answers with a challenge of the scheme DPoP, not Bearer (RFC 9449, section 7.1).
	ByDPoP bool
}

func (e *Error) Error() string { return e.Code + ": " + e.Description }

// Codes of Error.
const (
	CodeInvalidRequest          = "invalid_request"
	CodeInvalidClient           = "invalid_client"
	CodeInvalidGrant            = "invalid_grant"
	CodeUnauthorizedClient      = "unauthorized_client"
	CodeUnsupportedGrantType    = "unsupported_grant_type"
	CodeUnsupportedResponseType = "unsupported_response_type"
	CodeInvalidScope            = "invalid_scope"
	CodeInvalidTarget           = "invalid_target"
	CodeInvalidToken            = "invalid_token"
	CodeInvalidDPoPProof        = "invalid_dpop_proof"
	CodeUseDPoPNonce            = "use_dpop_nonce"
	CodeInsufficientScope       = "insufficient_scope"
	CodeAccessDenied            = "access_denied"
	CodeAuthorizationPending    = "authorization_pending"
	CodeExpiredToken            = "expired_token"
	CodeLoginRequired           = "login_required"
	CodeConsentRequired         = "consent_required"
	CodeUnmetAuthentication     = "unmet_authentication_requirements"
	CodeInvalidRequestURI       = "invalid_request_uri"
	CodeRequestNotSupported     = "request_not_supported"
	CodeRequestURINotSupported  = "request_uri_not_supported"
	CodeRegistrationUnsupported = "registration_not_supported"
	CodeSlowDown                = "slow_down"
	CodeTemporarilyUnavailable  = "temporarily_unavailable"
	CodeServerError             = "server_error"
)

// ErrNotFound is returned by stores for what is not there.
var ErrNotFound = errors.New("oauth: not found")

// ErrStale is returned by GrantStore.Rotate when the generation is not the current one, or the grant is over.
var ErrStale = errors.New("oauth: not the current generation of a live grant")

// ErrUnavailable is what a store wraps when its database cannot be reached now.
var ErrUnavailable = errors.New("oauth: a store cannot be reached")

func refuse(code, description string) error { return &Error{Code: code, Description: description} }

// errInvalidGrant does not say what was wrong with a code or a token: whoever holds a wrong one learns nothing from it.
func errInvalidGrant() error {
	return refuse(CodeInvalidGrant, "the grant is invalid, expired, revoked, or was issued to another client")
}

func errInvalidClient() error { return refuse(CodeInvalidClient, "client authentication failed") }

// AsError returns what the client may be told of err: err itself if it is an Error, and otherwise
// temporarily_unavailable or server_error, whose cause belongs in the log.
func AsError(err error) (e *Error, internal bool) {
	if errors.As(err, &e) {
		return e, false
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: CodeTemporarilyUnavailable, Description: "something this needs cannot be reached now; try again"}, true
	}
	return &Error{Code: CodeServerError, Description: "internal error"}, true
}
