package meshtest

import (
	"context"
	"iter"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/mesh"
)

// RefusesBadTokens calls every method of a server that is not public, unary or stream, with every credential of
// [Issuer.BadCredentials], and demands UNAUTHENTICATED with a text that does not tell why.
func RefusesBadTokens(t *testing.T, srv *Server) {
	t.Helper()
	RefusesBadTokensOver(t, srv.issuer, srv.Dial(t), srv.Mesh.Policies().All())
}

// RefusesBadTokensOver is [RefusesBadTokens] for any connection and methods: those of an edge, for one.
func RefusesBadTokensOver(t *testing.T, iss *Issuer, conn grpc.ClientConnInterface, rules iter.Seq[mesh.Rule]) {
	t.Helper()
	bad := iss.BadCredentials(t)
	tried := 0
	for rule := range rules {
		if rule.Public {
			continue
		}
		tried++
		for _, credential := range bad {
			err := try(t, conn, rule, credential.Authorization)
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s with %s: got %v, want Unauthenticated", rule.Method, credential.Name, err)
			} else if text := status.Convert(err).Message(); text != status.Convert(mesh.Unauthenticated("")).Message() {
				t.Errorf("%s with %s: the text tells why: %q", rule.Method, credential.Name, text)
			}
		}
	}
	if tried == 0 {
		t.Error("no method was tried")
	}
}

// try calls a method with an empty message and returns how it ended. Where it does not end, because the caller was let
// in to a stream, that is the error.
func try(t *testing.T, conn grpc.ClientConnInterface, rule mesh.Rule, authorization []string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": authorization})
	if !rule.Streaming {
		return conn.Invoke(ctx, rule.Method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, rule.Method)
	if err != nil {
		return err
	}
	// A send fails where the server has answered already; what it answered is what is received.
	_ = stream.SendMsg(&emptypb.Empty{})
	_ = stream.CloseSend()
	return stream.RecvMsg(&emptypb.Empty{})
}
