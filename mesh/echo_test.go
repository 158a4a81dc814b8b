package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
)

const (
	user     = meshv1.CallerKind_CALLER_KIND_USER
	client   = meshv1.CallerKind_CALLER_KIND_CLIENT
	workload = meshv1.CallerKind_CALLER_KIND_WORKLOAD
)

type callers = []meshv1.CallerKind

// echoRules are the methods of the service under test, one for each thing a rule may demand.
var echoRules = map[string]*meshv1.Rule{
	"Say":      {Callers: callers{user, client, workload}, Workloads: []string{"customer"}, Edge: true},
	"Watch":    {Callers: callers{user, client}, Edge: true},
	"Chat":     {Callers: callers{user, client}},
	"Open":     {Public: true, Edge: true},
	"Admin":    {Callers: callers{user}, AnyRole: []string{"ADMIN", "ROOT"}},
	"Scoped":   {Callers: callers{user, client}, AllScopes: []string{"a.read", "a.write"}},
	"Internal": {Callers: callers{workload}, Workloads: []string{"customer"}},
	"Anyone":   {Callers: callers{workload}, Workloads: []string{"*"}},
	"Careful":  {Callers: callers{user}, Sensitive: true},
	"Fresh":    {Callers: callers{user}, MaxAge: durationpb.New(300e9)},
	"Strong":   {Callers: callers{user}, Acr: "phr"},
	"Read":     {Callers: callers{user}},
	"Recent":   {Callers: callers{user}, MaxAge: durationpb.New(300e9)},
	"Guarded":  {Callers: callers{user}, Sensitive: true},
}

var echoMethods = []string{"Say", "Watch", "Chat", "Open", "Admin", "Scoped", "Internal", "Anyone", "Careful", "Fresh", "Strong", "Read", "Recent", "Guarded"}

// echoFile is test.mesh.v1, as a linked proto file would be.
var echoFile = sync.OnceValue(func() protoreflect.FileDescriptor {
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Echo")}
	for _, name := range echoMethods {
		service.Method = append(service.Method, method(name, echoRules[name]))
	}
	file, err := protodesc.NewFile(testFile("test/mesh/v1/echo.proto", service), protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		panic(err)
	}
	return file
})

func echoDescriptor(method string) protoreflect.MethodDescriptor {
	return echoFile().Services().Get(0).Methods().ByName(protoreflect.Name(method))
}

// method describes a method from Note to Note; its name says how it streams.
func method(name string, rule *meshv1.Rule) *descriptorpb.MethodDescriptorProto {
	m := &descriptorpb.MethodDescriptorProto{
		Name: proto.String(name), InputType: proto.String(".test.mesh.v1.Note"), OutputType: proto.String(".test.mesh.v1.Note"),
		Options: &descriptorpb.MethodOptions{},
	}
	if rule != nil {
		proto.SetExtension(m.Options, meshv1.E_Rule, rule)
	}
	if name == "Read" {
		m.Options.IdempotencyLevel = descriptorpb.MethodOptions_NO_SIDE_EFFECTS.Enum()
	}
	m.ServerStreaming = proto.Bool(slices.Contains([]string{"Watch", "Chat", "Recent", "Guarded"}, name))
	m.ClientStreaming = proto.Bool(name == "Chat")
	return m
}

func testFile(path string, services ...*descriptorpb.ServiceDescriptorProto) *descriptorpb.FileDescriptorProto {
	short := &descriptorpb.FieldOptions{}
	proto.SetExtension(short, validate.E_Field, validate.FieldRules_builder{
		String: validate.StringRules_builder{MaxLen: proto.Uint64(10)}.Build(),
	}.Build())
	str, msg := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	one, many := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return &descriptorpb.FileDescriptorProto{
		Name: proto.String(path), Package: proto.String("test.mesh.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"realguardio/mesh/v1/policy.proto", "buf/validate/validate.proto"},
		Service:    services,
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Note"),
			Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("text"), Number: proto.Int32(1), Type: str, Label: one},
				{Name: proto.String("short_text"), Number: proto.Int32(2), Type: str, Label: one, Options: short},
				{Name: proto.String("inner_notes"), Number: proto.Int32(3), Type: msg, Label: many, TypeName: proto.String(".test.mesh.v1.Note")},
			},
		}},
	}
}

// note is a message of the service under test.
type note struct{ *dynamicpb.Message }

func newNote(text string) note {
	n := note{dynamicpb.NewMessage(echoFile().Messages().Get(0))}
	n.set("text", text)
	return n
}

func (n note) set(field, value string) { n.Set(n.field(field), protoreflect.ValueOfString(value)) }

func (n note) text() string { return n.Get(n.field("text")).String() }

func (n note) field(name string) protoreflect.FieldDescriptor {
	return n.Descriptor().Fields().ByName(protoreflect.Name(name))
}

// echo is the service under test. Its handlers do what the test says.
type echo struct {
	unary  func(ctx context.Context, in note) (note, error)
	stream func(stream grpc.ServerStream) error
}

func (e *echo) register(r grpc.ServiceRegistrar) { r.RegisterService(echoDesc(), e) }

func echoDesc() *grpc.ServiceDesc {
	service := echoFile().Services().Get(0)
	desc := &grpc.ServiceDesc{ServiceName: string(service.FullName()), HandlerType: (*any)(nil)}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		if m.IsStreamingServer() {
			desc.Streams = append(desc.Streams, grpc.StreamDesc{
				StreamName: string(m.Name()), ServerStreams: true, ClientStreams: m.IsStreamingClient(),
				Handler: func(srv any, stream grpc.ServerStream) error { return srv.(*echo).stream(stream) },
			})
			continue
		}
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: string(m.Name()), Handler: unaryHandler(m)})
	}
	return desc
}

func unaryHandler(m protoreflect.MethodDescriptor) grpc.MethodHandler {
	return func(srv any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		in := newNote("")
		if err := dec(in.Message); err != nil {
			return nil, err
		}
		info := &grpc.UnaryServerInfo{Server: srv, FullMethod: fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())}
		return intercept(ctx, in.Message, info, func(ctx context.Context, req any) (any, error) {
			out, err := srv.(*echo).unary(ctx, note{req.(*dynamicpb.Message)})
			return out.Message, err
		})
	}
}

// say calls a unary method and returns the answer's text.
func say(ctx context.Context, conn grpc.ClientConnInterface, method, text string) (string, error) {
	out := newNote("")
	err := conn.Invoke(ctx, "/test.mesh.v1.Echo/"+method, newNote(text).Message, out.Message)
	return out.text(), err
}

// open begins a streaming method and sends one note.
func open(t *testing.T, ctx context.Context, conn grpc.ClientConnInterface, method string) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.mesh.v1.Echo/"+method)
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	// EOF: it has ended already, and says why when it is read.
	if err := stream.SendMsg(newNote("hello").Message); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("send: %v", err)
	}
	if method != "Chat" {
		_ = stream.CloseSend()
	}
	return stream
}
