package mesh

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ErrorDomain is the ErrorInfo.domain of every error made here. A status without it does not leave a process as it is.
const ErrorDomain = "realguardio"

// Reasons that this package gives itself. Services add their own in the same form.
const (
	ReasonInvalidField    = "INVALID_FIELD"
	ReasonNotFound        = "NOT_FOUND"
	ReasonAlreadyExists   = "ALREADY_EXISTS"
	ReasonETagMismatch    = "ETAG_MISMATCH"
	ReasonUnauthenticated = "UNAUTHENTICATED"
	ReasonStepUp          = "INSUFFICIENT_USER_AUTHENTICATION"
	// ReasonUnprovenKey refuses a token that is bound to a key, because the caller has not proven to hold it.
	ReasonUnprovenKey = "UNPROVEN_KEY"
	// ReasonOtherCertificate refuses a token that is bound to another certificate than the caller's.
	ReasonOtherCertificate = "OTHER_CERTIFICATE"
	// ReasonInvalidDPoPProof and ReasonUseDPoPNonce are "invalid_dpop_proof" and "use_dpop_nonce" of RFC 9449.
	ReasonInvalidDPoPProof = "INVALID_DPOP_PROOF"
	ReasonUseDPoPNonce     = "USE_DPOP_NONCE"
	ReasonCallerKind       = "CALLER_KIND"
	ReasonWorkload         = "WORKLOAD"
	ReasonRoleMissing      = "ROLE_MISSING"
	ReasonScopeMissing     = "SCOPE_MISSING"
	ReasonBoundToken       = "BOUND_TOKEN"
	ReasonDependencyDown   = "DEPENDENCY_DOWN"
	ReasonDeadlineExceeded = "DEADLINE_EXCEEDED"
	ReasonCancelled        = "CANCELLED"
	ReasonUnimplemented    = "UNIMPLEMENTED"
	ReasonMessageTooLarge  = "MESSAGE_TOO_LARGE"
	ReasonMalformedMessage = "MALFORMED_MESSAGE"
	ReasonOverloaded       = "OVERLOADED"
	ReasonInternal         = "INTERNAL"
)

// FieldError is one field of a request and what is wrong with it.
type FieldError struct {
	// Field is the path in the request's JSON form, such as "location.name" or "items[2].id".
	Field string
	// Description says what is expected, in one sentence for the caller's developer.
	Description string
}

// InvalidField refuses a request because of one field: INVALID_ARGUMENT with a BadRequest.
func InvalidField(field, description string) error {
	return InvalidFields(FieldError{Field: field, Description: description})
}

// InvalidFields refuses a request because of several fields. The message names the first.
func InvalidFields(fields ...FieldError) error {
	bad := &errdetails.BadRequest{}
	message := "request is invalid"
	for i, f := range fields {
		if i == 0 {
			message = f.Field + ": " + f.Description
		}
		bad.FieldViolations = append(bad.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: valid(f.Field), Description: valid(f.Description)})
	}
	return refuse(codes.InvalidArgument, ReasonInvalidField, message, nil, bad)
}

// NotFound says that there is no such resource for this caller: it does not exist, or its existence is not theirs to know.
func NotFound(resource, id string) error {
	return refuse(codes.NotFound, ReasonNotFound, resource+" not found", map[string]string{"resource": resource, "id": id})
}

// AlreadyExists refuses a duplicate.
func AlreadyExists(resource, description string) error {
	return refuse(codes.AlreadyExists, ReasonAlreadyExists, description, map[string]string{"resource": resource})
}

// PermissionDenied refuses a caller who is known and may know of the object, but lacks the right.
func PermissionDenied(reason, message string) error {
	return refuse(codes.PermissionDenied, reason, message, nil)
}

// FailedPrecondition refuses because of the state that the object is in.
func FailedPrecondition(reason, message string) error {
	return refuse(codes.FailedPrecondition, reason, message, nil)
}

// Aborted refuses because of a concurrent change, such as a stale etag; the caller may read again and retry.
func Aborted(reason, message string) error {
	return refuse(codes.Aborted, reason, message, nil)
}

// Unauthenticated refuses a caller who is not known. The text is fixed: why a credential failed is for the log.
func Unauthenticated(reason string) error {
	return refuse(codes.Unauthenticated, reason, "authentication is required", nil)
}

// Unavailable says that something this call depends on cannot be reached now. A retry may help.
func Unavailable(dependency string) error {
	return refuse(codes.Unavailable, ReasonDependencyDown, dependency+" cannot be reached now",
		map[string]string{"dependency": dependency})
}

// ResourceExhausted refuses a caller who came too often, and says when to come again.
func ResourceExhausted(reason string, retryAfter time.Duration) error {
	return refuse(codes.ResourceExhausted, reason, "too many requests", nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
}

// Reason returns the reason of an error made here, in this process or in the one that was called, or "".
func Reason(err error) string {
	if info := infoOf(err); info != nil {
		return info.GetReason()
	}
	return ""
}

// refuse makes a status with ErrorInfo first and any further details after it. What callers sent may be part of its
// texts, so that bytes which are not UTF-8, and would make the status impossible to encode, are replaced.
func refuse(code codes.Code, reason, message string, metadata map[string]string, details ...protoadapt.MessageV1) error {
	for key, value := range metadata {
		metadata[key] = valid(value)
	}
	info := &errdetails.ErrorInfo{Reason: valid(reason), Domain: ErrorDomain, Metadata: metadata}
	st, err := status.New(code, valid(message)).WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil { // only for a code of OK
		return status.Error(codes.Internal, "internal error")
	}
	return st.Err()
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// infoOf returns the ErrorInfo of a status made by this package, however deep err wraps it, or nil.
func infoOf(err error) *errdetails.ErrorInfo {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return nil
	}
	for _, detail := range s.GRPCStatus().Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == ErrorDomain {
			return info
		}
	}
	return nil
}
