// Package byfield sends the calls of a service that several parts have to the part that a field of the request names.
//
// Who may call what is decided elsewhere: by the gateway before, and by the part.
package byfield

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/realguardio/realguardio/mesh"
)

// Conn is the connections to the parts, as one. It is safe for concurrent use.
type Conn struct {
	parts map[string]grpc.ClientConnInterface
	// fields name the part in the request of each method.
	fields map[string]protoreflect.FieldDescriptor
}

// New returns the connections to parts, by what the field of every request of service calls them. Its methods must not
// stream.
func New(service protoreflect.ServiceDescriptor, field protoreflect.Name, parts map[string]grpc.ClientConnInterface) (*Conn, error) {
	c := &Conn{parts: parts, fields: map[string]protoreflect.FieldDescriptor{}}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		f := m.Input().Fields().ByName(field)
		if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() || m.IsStreamingClient() || m.IsStreamingServer() {
			return nil, fmt.Errorf("byfield: %s: want a call whose request names a part in %s", m.FullName(), field)
		}
		c.fields[fmt.Sprintf("/%s/%s", service.FullName(), m.Name())] = f
	}
	return c, nil
}

// Invoke implements [grpc.ClientConnInterface].
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	part, err := c.part(method, args)
	if err != nil {
		return err
	}
	return part.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements [grpc.ClientConnInterface]. The stream goes to a part with its first message.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	field := c.fields[method]
	if field == nil {
		return nil, fmt.Errorf("byfield: %s: cannot be sent to a part", method)
	}
	return &stream{ctx: ctx, opened: make(chan struct{}), missing: noPart(field), find: func(first any) (grpc.ClientStream, error) {
		part, err := c.part(method, first)
		if err != nil {
			return nil, err
		}
		return part.NewStream(ctx, desc, method, opts...)
	}}, nil
}

// part returns whom a request is for. The request may be a message of another type that was not read.
func (c *Conn) part(method string, request any) (grpc.ClientConnInterface, error) {
	field := c.fields[method]
	message, ok := request.(proto.Message)
	if field == nil || !ok {
		return nil, fmt.Errorf("byfield: %s: cannot be sent to a part", method)
	}
	wire, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("byfield: %s: %w", method, err)
	}
	read := dynamicpb.NewMessage(field.ContainingMessage())
	if err := proto.Unmarshal(wire, read); err != nil {
		return nil, noPart(field)
	}
	if part := c.parts[read.Get(field).String()]; part != nil {
		return part, nil
	}
	return nil, noPart(field)
}

func noPart(field protoreflect.FieldDescriptor) error {
	return mesh.InvalidField(field.JSONName(), "names no part")
}

// stream is one whose part is known when its first message has been sent.
type stream struct {
	ctx  context.Context
	find func(first any) (grpc.ClientStream, error)
	// missing is what becomes of a stream without a message.
	missing error
	// opened is closed when the other fields below are set; they belong to the sender until then.
	opened chan struct{}
	begun  bool
	to     grpc.ClientStream
	err    error
}

// SendMsg implements [grpc.ClientStream]. As there, RecvMsg says why it has ended.
func (s *stream) SendMsg(m any) error {
	if !s.begun {
		s.begun = true
		s.to, s.err = s.find(m)
		close(s.opened)
	}
	if s.err != nil {
		return io.EOF
	}
	return s.to.SendMsg(m)
}

// CloseSend implements [grpc.ClientStream].
func (s *stream) CloseSend() error {
	if !s.begun {
		s.begun = true
		s.err = s.missing
		close(s.opened)
	}
	if s.err != nil {
		return nil
	}
	return s.to.CloseSend()
}

// RecvMsg implements [grpc.ClientStream].
func (s *stream) RecvMsg(m any) error {
	if err := s.wait(); err != nil {
		return err
	}
	return s.to.RecvMsg(m)
}

// Header implements [grpc.ClientStream].
func (s *stream) Header() (metadata.MD, error) {
	if err := s.wait(); err != nil {
		return nil, err
	}
	return s.to.Header()
}

// Trailer implements [grpc.ClientStream]: it is called after RecvMsg has failed.
func (s *stream) Trailer() metadata.MD {
	if s.wait() != nil {
		return nil
	}
	return s.to.Trailer()
}

// Context implements [grpc.ClientStream].
func (s *stream) Context() context.Context { return s.ctx }

// wait waits until the stream goes to a part.
func (s *stream) wait() error {
	select {
	case <-s.opened:
		return s.err
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}
