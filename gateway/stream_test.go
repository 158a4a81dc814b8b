package gateway_test

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
)

// streamFile is a linked proto file with methods that stream, and one that is not for the outside.
var streamFile = sync.OnceValue(func() protoreflect.FileDescriptor {
	user := []meshv1.CallerKind{meshv1.CallerKind_CALLER_KIND_USER}
	service := &descriptorpb.ServiceDescriptorProto{
		Name: proto.String("Streams"),
		Method: []*descriptorpb.MethodDescriptorProto{
			streamMethod("Chat", &meshv1.Rule{Callers: user, Edge: true}),
			streamMethod("Inner", &meshv1.Rule{Callers: user}),
		},
	}
	text := &descriptorpb.FieldDescriptorProto{
		Name: proto.String("text"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test/gateway/v1/streams.proto"), Package: proto.String("test.gateway.v1"), Syntax: proto.String("proto3"),
		Dependency:  []string{"realguardio/mesh/v1/policy.proto"},
		Service:     []*descriptorpb.ServiceDescriptorProto{service},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Note"), Field: []*descriptorpb.FieldDescriptorProto{text}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		panic(err)
	}
	return file
})

func streamMethod(name string, rule *meshv1.Rule) *descriptorpb.MethodDescriptorProto {
	m := &descriptorpb.MethodDescriptorProto{
		Name: proto.String(name), InputType: proto.String(".test.gateway.v1.Note"), OutputType: proto.String(".test.gateway.v1.Note"),
		ServerStreaming: proto.Bool(true), ClientStreaming: proto.Bool(true), Options: &descriptorpb.MethodOptions{},
	}
	proto.SetExtension(m.Options, meshv1.E_Rule, rule)
	return m
}

func streamDesc() *grpc.ServiceDesc {
	handler := func(srv any, stream grpc.ServerStream) error { return srv.(*backend).chat(stream) }
	streamFile()
	return &grpc.ServiceDesc{ServiceName: "test.gateway.v1.Streams", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: handler},
		{StreamName: "Inner", ServerStreams: true, ClientStreams: true, Handler: handler},
	}}
}

// chat notes the call and does what the test says.
func (b *backend) chat(stream grpc.ServerStream) error {
	if err := b.saw(stream.Context(), "Chat", nil); err != nil {
		return err
	}
	b.mu.Lock()
	do := b.stream
	b.mu.Unlock()
	return do(stream)
}
