package mesh_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/realguardio/realguardio/mesh"
)

func TestARefusalSaysWhatACallerMayActOn(t *testing.T) {
	info := func(reason string, pairs ...string) *errdetails.ErrorInfo {
		i := &errdetails.ErrorInfo{Reason: reason, Domain: "realguardio"}
		for n := 0; n < len(pairs); n += 2 {
			if i.Metadata == nil {
				i.Metadata = map[string]string{}
			}
			i.Metadata[pairs[n]] = pairs[n+1]
		}
		return i
	}
	bad := func(fields ...string) *errdetails.BadRequest {
		b := &errdetails.BadRequest{}
		for n := 0; n < len(fields); n += 2 {
			b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: fields[n], Description: fields[n+1]})
		}
		return b
	}
	for _, tt := range []struct {
		err  error
		code codes.Code
		text string
		want []any
	}{
		{mesh.InvalidField("name", "is empty"), codes.InvalidArgument, "name: is empty", []any{info("INVALID_FIELD"), bad("name", "is empty")}},
		{
			mesh.InvalidFields(mesh.FieldError{Field: "a", Description: "x"}, mesh.FieldError{Field: "b", Description: "y"}),
			codes.InvalidArgument, "a: x", []any{info("INVALID_FIELD"), bad("a", "x", "b", "y")},
		},
		{mesh.InvalidField("name", "not \xff"), codes.InvalidArgument, "name: not \uFFFD", []any{info("INVALID_FIELD"), bad("name", "not \uFFFD")}},
		{mesh.NotFound("system", "sys_\xff"), codes.NotFound, "system not found", []any{info("NOT_FOUND", "resource", "system", "id", "sys_\uFFFD")}},
		{mesh.AlreadyExists("customer", "the name is taken"), codes.AlreadyExists, "the name is taken", []any{info("ALREADY_EXISTS", "resource", "customer")}},
		{mesh.PermissionDenied("ROLE_MISSING", "no"), codes.PermissionDenied, "no", []any{info("ROLE_MISSING")}},
		{mesh.FailedPrecondition("ARMED", "it is armed"), codes.FailedPrecondition, "it is armed", []any{info("ARMED")}},
		{mesh.Aborted("ETAG_MISMATCH", "read again"), codes.Aborted, "read again", []any{info("ETAG_MISMATCH")}},
		{mesh.Unauthenticated("SESSION_ENDED"), codes.Unauthenticated, "authentication is required", []any{info("SESSION_ENDED")}},
		{mesh.Unavailable("the database"), codes.Unavailable, "the database cannot be reached now", []any{info("DEPENDENCY_DOWN", "dependency", "the database")}},
		{
			mesh.ResourceExhausted("TOO_OFTEN", 3*time.Second), codes.ResourceExhausted, "too many requests",
			[]any{info("TOO_OFTEN"), &errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)}},
		},
	} {
		t.Run(tt.want[0].(*errdetails.ErrorInfo).GetReason(), func(t *testing.T) {
			st := status.Convert(tt.err)
			if st.Code() != tt.code || st.Message() != tt.text {
				t.Errorf("got %v %q, want %v %q", st.Code(), st.Message(), tt.code, tt.text)
			}
			if diff := cmp.Diff(tt.want, st.Details(), protocmp.Transform()); diff != "" {
				t.Errorf("details differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheReasonIsFoundInWhatWrapsIt(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{err: nil},
		{err: errors.New("plain")},
		{err: status.Error(codes.NotFound, "another's")},
		{err: mesh.NotFound("system", "1"), want: "NOT_FOUND"},
		{err: fmt.Errorf("load: %w", mesh.NotFound("system", "1")), want: "NOT_FOUND"},
	} {
		if got := mesh.Reason(tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}
