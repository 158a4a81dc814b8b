// Package problem writes refusals as problem details (RFC 9457), the one form in which an error leaves the gateway over
// HTTP.
//
// It decides the HTTP status and the headers that belong to it, and lets through only text that was meant for the
// caller. It does not decide what is refused.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/dpop"
)

// Reasons that the gateway gives itself, beside those of mesh.
const (
	ReasonNoCredential   = "NO_CREDENTIAL"
	ReasonTwoCredentials = "TWO_CREDENTIALS"
	ReasonCSRF           = "CSRF"
	ReasonRateLimited    = "RATE_LIMITED"
	ReasonTooMany        = "TOO_MANY_LISTENERS"
	ReasonTooManyCalls   = "TOO_MANY_CALLS"
)

// Document is the body of a refusal.
type Document struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Code is the gRPC code's name.
	Code string `json:"code"`
	// Reason is stable and meant for programs; Detail is for people and may change.
	Reason    string `json:"reason"`
	RequestID string `json:"requestId,omitempty"`
	// MaxAge, in seconds, and ACRValues say how the person must sign in again (RFC 9470, section 3).
	MaxAge    string            `json:"maxAge,omitempty"`
	ACRValues string            `json:"acrValues,omitempty"`
	Errors    []mesh.FieldError `json:"-"`
}

// field is a mesh.FieldError as JSON.
type field struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// MarshalJSON writes the field errors under "errors".
func (d Document) MarshalJSON() ([]byte, error) {
	type plain Document
	out := struct {
		plain
		Errors []field `json:"errors,omitempty"`
	}{plain: plain(d)}
	for _, e := range d.Errors {
		out.Errors = append(out.Errors, field{Field: e.Field, Description: e.Description})
	}
	return json.Marshal(out)
}

// Error is a refusal that only HTTP knows, such as 405. Everything else is a gRPC status made by mesh.
type Error struct {
	Status int
	Code   codes.Code
	Reason string
	Detail string
}

func (e *Error) Error() string { return e.Reason + ": " + e.Detail }

// The refusals that only HTTP knows.
var (
	NoSuchRoute = &Error{http.StatusNotFound, codes.NotFound, mesh.ReasonNotFound, "there is nothing at this path"}
	BadMethod   = &Error{http.StatusMethodNotAllowed, codes.Unimplemented, "METHOD_NOT_ALLOWED", "the method is not allowed here"}
	NotJSON     = &Error{http.StatusUnsupportedMediaType, codes.InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", "the request body must be application/json"}
	Malformed   = &Error{http.StatusBadRequest, codes.InvalidArgument, "MALFORMED", "the request is malformed"}
	// TwoCredentials is not ranked: a caller able to add a header must not be able to choose which credential counts.
	TwoCredentials = &Error{http.StatusBadRequest, codes.Unauthenticated, ReasonTwoCredentials, "a request carries exactly one credential"}
	CSRF           = &Error{http.StatusForbidden, codes.PermissionDenied, ReasonCSRF, "the request lacks the proof that it comes from this site"}
)

// TooLarge refuses a body of more than limit bytes.
func TooLarge(limit int64) *Error {
	size := strconv.FormatInt(limit>>10, 10) + " KB"
	if limit >= 1<<20 {
		size = strconv.FormatInt(limit>>20, 10) + " MB"
	}
	return &Error{http.StatusRequestEntityTooLarge, codes.InvalidArgument, "TOO_LARGE", "the request body is larger than " + size}
}

// Of returns the document for err. Text of an error that is neither an [Error] nor a refusal made by mesh stays inside.
func Of(err error) Document {
	var e *Error
	if errors.As(err, &e) {
		return document(e.Status, e.Code, e.Reason, e.Detail)
	}
	st, ok := status.FromError(err)
	switch {
	case errors.Is(err, context.Canceled):
		st = status.New(codes.Canceled, "")
	case errors.Is(err, context.DeadlineExceeded):
		st = status.New(codes.DeadlineExceeded, "")
	case !ok:
		st = status.New(codes.Internal, "")
	}
	reason := mesh.Reason(err)
	if reason == "" || st.Code() == codes.Internal || st.Code() == codes.Unknown {
		return fixed(st.Code())
	}
	doc := document(HTTPStatus(st.Code()), st.Code(), reason, st.Message())
	for _, detail := range st.Details() {
		doc.add(detail)
	}
	return doc
}

// add takes over a detail of a status.
func (d *Document) add(detail any) {
	switch detail := detail.(type) {
	case *errdetails.BadRequest:
		for _, v := range detail.GetFieldViolations() {
			d.Errors = append(d.Errors, mesh.FieldError{Field: v.GetField(), Description: v.GetDescription()})
		}
	case *errdetails.ErrorInfo:
		// grpc puts words of its own around the message of a call that it has tried again in vain.
		if dependency := detail.GetMetadata()["dependency"]; dependency != "" {
			d.Detail = dependency + " cannot be reached now"
		}
		d.MaxAge, d.ACRValues = detail.GetMetadata()["max_age"], detail.GetMetadata()["acr_values"]
	}
}

func document(httpStatus int, code codes.Code, reason, detail string) Document {
	return Document{Type: "about:blank", Title: title(httpStatus), Status: httpStatus, Code: codeName(code), Reason: reason, Detail: detail}
}

// fixed is the document of a status that carries no reason of ours: made by a library, its text may name addresses.
func fixed(code codes.Code) Document {
	reason, detail := codeName(code), ""
	switch code {
	case codes.Unavailable:
		reason, detail = mesh.ReasonDependencyDown, "a part of the service cannot be reached now"
	case codes.DeadlineExceeded:
		detail = "the service took too long to answer"
	case codes.Canceled:
		reason, detail = mesh.ReasonCancelled, "the request was cancelled"
	case codes.Unauthenticated:
		reason, detail = mesh.ReasonUnauthenticated, "authentication is required"
	case codes.PermissionDenied, codes.NotFound, codes.Unimplemented, codes.ResourceExhausted, codes.InvalidArgument,
		codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange:
	default:
		code, reason, detail = codes.Internal, mesh.ReasonInternal, "internal error"
	}
	return document(HTTPStatus(code), code, reason, detail)
}

// Writer writes refusals and logs those that are our own fault.
type Writer struct{ Logger *slog.Logger }

// Write answers r with err. The request id is taken from the response header X-Request-Id.
func (p Writer) Write(w http.ResponseWriter, r *http.Request, err error) {
	doc := Of(err)
	h := w.Header()
	doc.RequestID = h.Get("X-Request-Id")
	if doc.Status == http.StatusInternalServerError && mesh.Reason(err) == "" {
		p.Logger.ErrorContext(r.Context(), "request failed", "request_id", doc.RequestID, "error", err)
	}
	h.Del("ETag")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if challenge := challenge(r, doc); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	if after, ok := retryAfter(err, doc.Status); ok {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	body, _ := json.Marshal(doc) // a Document always marshals
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(doc.Status)
	_, _ = w.Write(body)
}

// challenge is the WWW-Authenticate that belongs to doc (RFC 6750, section 3.1; RFC 9449, section 7.1), or "". Basic is
// offered only to who used it, so that no browser opens its password dialog.
func challenge(r *http.Request, doc Document) string {
	scheme := `Bearer realm="realguardio"`
	if doc.Reason == mesh.ReasonUnprovenKey || isDPoP(r.Header.Get("Authorization")) {
		scheme = `DPoP realm="realguardio", algs="` + strings.Join(dpop.Algorithms(), " ") + `"`
	}
	switch {
	case doc.Status == http.StatusForbidden && doc.Reason != ReasonCSRF:
		return scheme + `, error="insufficient_scope"`
	case doc.Status != http.StatusUnauthorized:
		return ""
	case doc.Reason == mesh.ReasonStepUp:
		return scheme + stepUp(doc)
	case doc.Reason == mesh.ReasonUseDPoPNonce:
		return scheme + `, error="use_dpop_nonce"`
	case doc.Reason == mesh.ReasonInvalidDPoPProof:
		return scheme + `, error="invalid_dpop_proof"`
	case len(r.Header["Authorization"]) == 0:
		return scheme
	case isBasic(r.Header.Get("Authorization")):
		return `Basic realm="realguardio", charset="UTF-8", ` + scheme + `, error="invalid_token"`
	default:
		return scheme + `, error="invalid_token"`
	}
}

func isDPoP(authorization string) bool {
	scheme, _, _ := strings.Cut(authorization, " ")
	return strings.EqualFold(scheme, "DPoP")
}

// stepUp says how the person must sign in again, in the parameters that an authorization request then takes (RFC 9470,
// section 3).
func stepUp(doc Document) string {
	header := `, error="insufficient_user_authentication"`
	for _, p := range []struct{ name, value string }{{"max_age", doc.MaxAge}, {"acr_values", doc.ACRValues}} {
		if p.value != "" && !strings.ContainsFunc(p.value, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
			header += `, ` + p.name + `="` + p.value + `"`
		}
	}
	return header
}

func isBasic(authorization string) bool {
	r := http.Request{Header: http.Header{"Authorization": {authorization}}}
	_, _, ok := r.BasicAuth()
	return ok
}

// retryAfter is how long to wait before trying again, where waiting helps.
func retryAfter(err error, httpStatus int) (time.Duration, bool) {
	if httpStatus != http.StatusTooManyRequests && httpStatus != http.StatusServiceUnavailable {
		return 0, false
	}
	if st, ok := status.FromError(err); ok {
		for _, detail := range st.Details() {
			if info, ok := detail.(*errdetails.RetryInfo); ok {
				return max(info.GetRetryDelay().AsDuration(), time.Second), true
			}
		}
	}
	return time.Second, true
}

// forms is how a gRPC code looks from outside: its name as the proto spells it, and the HTTP status that it becomes.
var forms = [...]struct {
	name       string
	httpStatus int
}{
	codes.OK:                 {"OK", http.StatusOK},
	codes.Canceled:           {"CANCELLED", statusClientClosed},
	codes.Unknown:            {"UNKNOWN", http.StatusInternalServerError},
	codes.InvalidArgument:    {"INVALID_ARGUMENT", http.StatusBadRequest},
	codes.DeadlineExceeded:   {"DEADLINE_EXCEEDED", http.StatusGatewayTimeout},
	codes.NotFound:           {"NOT_FOUND", http.StatusNotFound},
	codes.AlreadyExists:      {"ALREADY_EXISTS", http.StatusConflict},
	codes.PermissionDenied:   {"PERMISSION_DENIED", http.StatusForbidden},
	codes.ResourceExhausted:  {"RESOURCE_EXHAUSTED", http.StatusTooManyRequests},
	codes.FailedPrecondition: {"FAILED_PRECONDITION", http.StatusConflict},
	codes.Aborted:            {"ABORTED", http.StatusConflict},
	codes.OutOfRange:         {"OUT_OF_RANGE", http.StatusBadRequest},
	codes.Unimplemented:      {"UNIMPLEMENTED", http.StatusNotImplemented},
	codes.Internal:           {"INTERNAL", http.StatusInternalServerError},
	codes.Unavailable:        {"UNAVAILABLE", http.StatusServiceUnavailable},
	codes.DataLoss:           {"DATA_LOSS", http.StatusInternalServerError},
	codes.Unauthenticated:    {"UNAUTHENTICATED", http.StatusUnauthorized},
}

// known is code, or Unknown for one that a newer peer may have made up.
func known(code codes.Code) codes.Code {
	if int(code) < len(forms) {
		return code
	}
	return codes.Unknown
}

// HTTPStatus is the HTTP status of a gRPC code.
func HTTPStatus(code codes.Code) int { return forms[known(code)].httpStatus }

// codeName is the name of a gRPC code as the proto spells it.
func codeName(code codes.Code) string { return forms[known(code)].name }

// statusClientClosed is nginx's 499: nobody reads the answer any more, but the access log should not say 500.
const statusClientClosed = 499

func title(httpStatus int) string {
	if httpStatus == statusClientClosed {
		return "Client Closed Request"
	}
	return http.StatusText(httpStatus)
}
