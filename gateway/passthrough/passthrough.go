// Package passthrough hands native gRPC calls on to the service that implements them, messages unread, unary calls and
// streams alike.
//
// Who may call what is decided before by the mesh guard of the server it stands behind, and once more by the service.
package passthrough

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/mesh"
)

// Upstream is a connection and the services that are reached over it.
type Upstream struct {
	// Conn must have been dialled with mesh.Forward.
	Conn     grpc.ClientConnInterface
	Services []protoreflect.ServiceDescriptor
}

// Admit may refuse a call that the guard has let in, for what its caller costs already. leave is called when the call ends.
type Admit func(ctx context.Context, streams bool) (leave func(), err error)

// New makes what a mesh server needs to pass calls on. Of the services only methods declared edge can be reached.
func New(admit Admit, upstreams ...Upstream) (*mesh.PassThrough, error) {
	route, methods := map[string]grpc.ClientConnInterface{}, map[string]protoreflect.MethodDescriptor{}
	p := &mesh.PassThrough{}
	for _, u := range upstreams {
		for _, service := range u.Services {
			name := string(service.FullName())
			if route[name] != nil {
				return nil, fmt.Errorf("passthrough: %s is served by two backends", name)
			}
			route[name] = u.Conn
			for i := range service.Methods().Len() {
				m := service.Methods().Get(i)
				methods["/"+name+"/"+string(m.Name())] = m
			}
			p.Services = append(p.Services, service)
		}
	}
	p.Handler = func(_ any, in grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(in)
		service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		conn, m := route[service], methods[method]
		if conn == nil || m == nil {
			return status.Error(codes.Unimplemented, "unknown service")
		}
		leave, err := admit(in.Context(), m.IsStreamingClient() || m.IsStreamingServer())
		if err != nil {
			return err
		}
		defer leave()
		return pass(conn, method, m.IsStreamingClient(), in)
	}
	return p, nil
}

// forwarded is the metadata that a service may see, all of it without authority.
var forwarded = []string{"accept-language", "idempotency-key"}

// bidi is the shape that fits every method: on the wire a unary call is a stream of one message.
var bidi = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// pass runs one call. The caller's deadline and cancellation go on with the context; so does its token, by the
// connection's propagation. The service's own metadata stays inside, its status and details go back. Unless it takes many, the
// method takes one message.
func pass(conn grpc.ClientConnInterface, method string, many bool, in grpc.ServerStream) error {
	ctx, cancel := context.WithCancelCause(outgoing(in.Context()))
	defer cancel(nil)
	out, err := conn.NewStream(ctx, bidi, method)
	if err != nil {
		return err
	}
	// It ends with the caller's stream, which ends when this handler does.
	go func() {
		if err := send(in, out, many); err != nil {
			cancel(err)
		}
	}()
	err = receive(out, in)
	if cause := context.Cause(ctx); cause != nil && in.Context().Err() == nil {
		return cause // what the caller sent could not be read; the upstream only saw the call cancelled
	}
	return err
}

// send copies the caller's messages to the upstream. Of too many or too few it is told here: the upstream would call it an
// internal error, as if it were not the caller's.
func send(in grpc.ServerStream, out grpc.ClientStream, many bool) error {
	for n := 0; ; n++ {
		var message emptypb.Empty
		err := in.RecvMsg(&message)
		if ended := errors.Is(err, io.EOF); !many && (ended && n == 0 || err == nil && n > 0) {
			return notOne()
		} else if ended {
			return out.CloseSend()
		}
		if err != nil {
			return err
		}
		if err := out.SendMsg(&message); err != nil {
			return nil // receive learns why
		}
	}
}

func notOne() error {
	info := &errdetails.ErrorInfo{Reason: mesh.ReasonMalformedMessage, Domain: mesh.ErrorDomain}
	refused, err := status.New(codes.InvalidArgument, "the method takes one message").WithDetails(info)
	if err != nil { // only for a code of OK
		return err
	}
	return refused.Err()
}

// receive copies the upstream's messages to the caller, and returns what the call ended with.
func receive(out grpc.ClientStream, in grpc.ServerStream) error {
	for {
		var message emptypb.Empty
		err := out.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := in.SendMsg(&message); err != nil {
			return err
		}
	}
}

// outgoing is ctx with the few metadata that go on. A key with two values is dropped: nobody could say which one counts.
func outgoing(ctx context.Context) context.Context {
	var pairs []string
	for _, key := range forwarded {
		if values := metadata.ValueFromIncomingContext(ctx, key); len(values) == 1 {
			pairs = append(pairs, key, values[0])
		}
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}
