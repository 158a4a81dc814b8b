package byfield_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/gateway/byfield"
	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// log is a part's. It answers with its own name.
type log struct {
	auditv1.UnimplementedAuditServiceServer
	part string
}

func (l log) ListEntries(context.Context, *auditv1.ListEntriesRequest) (*auditv1.ListEntriesResponse, error) {
	if l.part == "customer" {
		return nil, mesh.PermissionDenied("NOT_YOURS", "it is not yours")
	}
	return &auditv1.ListEntriesResponse{NextPageToken: l.part}, nil
}

var audits = auditv1.File_realguardio_audit_v1_audit_proto.Services().Get(0)

const method = "/realguardio.audit.v1.AuditService/ListEntries"

func connect(t *testing.T) (*byfield.Conn, context.Context) {
	t.Helper()
	iss := meshtest.NewIssuer(t)
	parts := map[string]grpc.ClientConnInterface{}
	for _, part := range []string{"token", "customer", "securitysystem"} {
		parts[part] = meshtest.Serve(t, iss, meshtest.Part{Name: part}, func(r grpc.ServiceRegistrar) {
			auditv1.RegisterAuditServiceServer(r, log{part: part})
		}).Dial(t)
	}
	conn, err := byfield.New(audits, "part", parts)
	if err != nil {
		t.Fatal(err)
	}
	return conn, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Roles: []string{"REALGUARDIO_ADMIN"}, Scopes: []string{"audit.read"}}))
}

// unread is a message as the pass-through has it.
func unread(t *testing.T, wire []byte) *emptypb.Empty {
	t.Helper()
	m := &emptypb.Empty{}
	if err := proto.Unmarshal(wire, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestARequestGoesToThePartThatItNames(t *testing.T) {
	conn, ctx := connect(t)
	for _, tt := range []struct {
		name, part string
		answers    string
		code       codes.Code
	}{
		{name: "one part", part: "token", answers: "token"},
		{name: "another", part: "securitysystem", answers: "securitysystem"},
		{name: "one that refuses", part: "customer", code: codes.PermissionDenied},
		{name: "one that there is not", part: "gateway", code: codes.InvalidArgument},
		{name: "none", code: codes.InvalidArgument},
	} {
		t.Run(tt.name+", in a call", func(t *testing.T) {
			answer, err := auditv1.NewAuditServiceClient(conn).ListEntries(ctx, &auditv1.ListEntriesRequest{Part: tt.part})
			if status.Code(err) != tt.code || answer.GetNextPageToken() != tt.answers {
				t.Errorf("%v, %v", answer, err)
			}
		})
		t.Run(tt.name+", passed through unread", func(t *testing.T) {
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
			if err != nil {
				t.Fatal(err)
			}
			type told struct {
				answer auditv1.ListEntriesResponse
				err    error
			}
			got := make(chan *told)
			go func() { // before anything is sent
				var of told
				of.err = stream.RecvMsg(&of.answer)
				got <- &of
			}()
			wire, err := proto.Marshal(&auditv1.ListEntriesRequest{Part: tt.part})
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.SendMsg(unread(t, wire)); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if of := <-got; status.Code(of.err) != tt.code || of.answer.GetNextPageToken() != tt.answers {
				t.Errorf("%v, %v", &of.answer, of.err)
			}
		})
	}
}

func TestAStreamThatNamesNoPartEnds(t *testing.T) {
	conn, ctx := connect(t)
	open := func(ctx context.Context) grpc.ClientStream {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	empty := open(ctx)
	if err := errors.Join(empty.CloseSend(), empty.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if err := empty.RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a request: %v", err)
	}
	if md, err := empty.Header(); status.Code(err) != codes.InvalidArgument || md != nil || empty.Trailer() != nil {
		t.Errorf("its header: %v, %v", md, err)
	}
	malformed := open(ctx)
	if err := malformed.SendMsg(unread(t, []byte{0x0a, 0x01, 0xff})); !errors.Is(err, io.EOF) { // a string that is not UTF-8
		t.Errorf("a request that cannot be read was sent: %v", err)
	}
	if err := malformed.RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a request that cannot be read: %v", err)
	}
	ending, end := context.WithTimeout(ctx, time.Millisecond)
	defer end()
	if err := open(ending).RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a request that never comes: %v", err)
	}
	if _, err := conn.NewStream(ctx, &grpc.StreamDesc{}, "/realguardio.audit.v1.AuditService/Other"); err == nil {
		t.Error("another method was begun")
	}
	if err := conn.Invoke(ctx, method, "text", nil); err == nil {
		t.Error("no message was sent")
	}
}

func TestWhichServicesCanBeSpread(t *testing.T) {
	for name, tt := range map[string]struct {
		service protoreflect.ServiceDescriptor
		field   protoreflect.Name
	}{
		"a field that there is not": {audits, "whose"},
		"a field that is no text":   {audits, "page_size"},
		"a service that streams":    {securitysystemv1.File_realguardio_securitysystem_v1_securitysystem_proto.Services().Get(0), "security_system_id"},
	} {
		if _, err := byfield.New(tt.service, tt.field, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
