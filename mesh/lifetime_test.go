package mesh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// The ways in which a handler may behave while its caller's right ends.
var handlers = map[string]func(started chan<- struct{}) func(grpc.ServerStream) error{
	"that waits for its context": func(started chan<- struct{}) func(grpc.ServerStream) error {
		return func(s grpc.ServerStream) error { started <- struct{}{}; <-s.Context().Done(); return s.Context().Err() }
	},
	"that returns nil when its context ends": func(started chan<- struct{}) func(grpc.ServerStream) error {
		return func(s grpc.ServerStream) error { started <- struct{}{}; <-s.Context().Done(); return nil }
	},
	"that is blocked reading": func(started chan<- struct{}) func(grpc.ServerStream) error {
		return func(s grpc.ServerStream) error {
			for first := true; ; first = false {
				if err := s.RecvMsg(newNote("").Message); err != nil {
					return err
				}
				if first {
					started <- struct{}{}
				}
			}
		}
	},
	"that sends and looks at nothing else": func(started chan<- struct{}) func(grpc.ServerStream) error {
		return func(s grpc.ServerStream) error {
			started <- struct{}{}
			for {
				if err := s.SendMsg(newNote("tick").Message); err != nil {
					return err
				}
			}
		}
	},
}

// end reads a stream until it ends.
func end(stream grpc.ClientStream) error {
	for {
		if err := stream.RecvMsg(newNote("").Message); err != nil {
			return err
		}
	}
}

func TestAStreamEndsWithItsCallersRight(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	for name, handler := range handlers {
		for _, method := range []string{"Watch", "Chat"} {
			if method == "Watch" && name == "that is blocked reading" {
				continue // there is nothing to read but the request
			}
			t.Run("at revocation, with a handler "+name+", "+method, func(t *testing.T) {
				started := make(chan struct{}, 1)
				set := revocation.NewSet(revocation.Config{})
				srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Revocations = set }},
					(&echo{stream: handler(started)}).register)
				stream := open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{SessionID: "s1"})), srv.Dial(t), method)
				<-started
				if err := set.Add(revocation.Entry{Kind: revocation.Session, Value: "other"}, revocation.Entry{Kind: revocation.Session, Value: "s1"}); err != nil {
					t.Fatal(err)
				}
				if err := end(stream); status.Code(err) != codes.Unauthenticated || mesh.Reason(err) != string(mesh.TokenEnded) {
					t.Errorf("got %v (%s)", err, mesh.Reason(err))
				}
			})
			t.Run("at expiry, with a handler "+name+", "+method, func(t *testing.T) {
				started := make(chan struct{}, 1)
				srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{stream: handler(started)}).register)
				conn := srv.Dial(t)
				// On a busy machine a token may have ended before its stream begins: then with one that lives for longer.
				for life, begun := 300*time.Millisecond, false; !begun && !t.Failed(); life *= 2 {
					expiry := time.Now().Add(life).Truncate(time.Millisecond)
					err := end(open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Expiry: expiry})), conn, method))
					if status.Code(err) != codes.Unauthenticated {
						t.Errorf("got %v", err)
					}
					if early := time.Until(expiry); early > 5*time.Millisecond {
						t.Errorf("ended %v before its token", early)
					}
					select {
					case <-started:
						begun = true
					default:
					}
				}
			})
		}
	}
}

// silent are revocations whose feed may fall silent.
type silent struct {
	mesh.Revocations
	stale atomic.Bool
}

func (s *silent) Stale() bool { return s.stale.Load() }

func TestASensitiveStreamEndsWhenRevocationsMightBeMissed(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	for name, handler := range handlers {
		if name == "that is blocked reading" {
			continue // there is nothing to read but the request
		}
		t.Run("with a handler "+name, func(t *testing.T) {
			t.Parallel()
			started := make(chan struct{}, 2)
			feed := &silent{Revocations: mesh.NoRevocations()}
			srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Revocations = feed }},
				(&echo{stream: handler(started)}).register)
			ctx, cancel := context.WithCancel(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})))
			defer cancel()
			conn := srv.Dial(t)
			guarded, watch := open(t, ctx, conn, "Guarded"), open(t, ctx, conn, "Watch")
			<-started
			<-started
			feed.stale.Store(true)
			if err := end(guarded); status.Code(err) != codes.Unavailable || mesh.Reason(err) != mesh.ReasonDependencyDown {
				t.Errorf("got %v", err)
			}
			cancel()
			if err := end(watch); status.Code(err) != codes.Canceled {
				t.Errorf("one that is not sensitive: %v", err)
			}
		})
	}
}

func TestAStreamEndsWhenItsCallersSignInGetsTooOld(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	signedIn := time.Now().Truncate(time.Second).Add(-4 * time.Minute)
	for name, handler := range handlers {
		if name == "that is blocked reading" {
			continue // there is nothing to read but the request
		}
		t.Run("with a handler "+name, func(t *testing.T) {
			started := make(chan struct{}, 1)
			srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
				c.Now = func() time.Time { return signedIn.Add(300*time.Second - 100*time.Millisecond) }
			}}, (&echo{stream: handler(started)}).register)
			stream := open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{AuthTime: signedIn})), srv.Dial(t), "Recent")
			<-started
			err := end(stream)
			if status.Code(err) != codes.Unauthenticated || mesh.Reason(err) != mesh.ReasonStepUp {
				t.Errorf("got %v (%s)", err, mesh.Reason(err))
			}
		})
	}
}

func TestAStreamOfARevokedTokenDoesNotBegin(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	set := revocation.NewSet(revocation.Config{})
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Revocations = set }},
		(&echo{unary: whoami, stream: func(grpc.ServerStream) error { t.Error("the handler ran"); return nil }}).register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{TokenID: "t1"}))
	if _, err := say(ctx, conn, "Say", ""); err != nil {
		t.Fatalf("before: %v", err)
	}
	if err := set.Add(revocation.Entry{Kind: revocation.Token, Value: "t1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := say(ctx, conn, "Say", ""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a cached token outlives its revocation: %v", err)
	}
	if err := end(open(t, ctx, conn, "Watch")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
}

func TestAStreamThatEndsByItselfEndsWell(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{stream: func(s grpc.ServerStream) error {
		for {
			n := newNote("")
			if err := s.RecvMsg(n.Message); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(newNote(mesh.Caller(s.Context()).Subject + " " + n.text()).Message); err != nil {
				return err
			}
		}
	}}).register)
	stream := open(t, meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{Subject: "u-alice"})), srv.Dial(t), "Chat")
	// Each message may say what it likes: the caller stays who the token says.
	if err := stream.SendMsg(newNote("I am u-admin").Message); err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	var got []string
	for {
		n := newNote("")
		err := stream.RecvMsg(n.Message)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n.text())
	}
	if len(got) != 2 || got[0] != "u-alice hello" || got[1] != "u-alice I am u-admin" {
		t.Errorf("got %q", got)
	}
}

func TestAHandlerSeesThatItsPeerIsGone(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	started, gone := make(chan struct{}), make(chan error, 1)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{stream: func(s grpc.ServerStream) error {
		close(started)
		<-s.Context().Done()
		gone <- s.Context().Err()
		return s.Context().Err()
	}}).register)
	ctx, cancel := context.WithCancel(meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{})))
	stream := open(t, ctx, srv.Dial(t), "Watch")
	<-started
	cancel()
	if err := end(stream); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler saw %v", err)
	}
}

func TestAServerThatDrainsFinishesCallsAndEndsStreams(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	inCall, goOn, inStream := make(chan struct{}), make(chan struct{}), make(chan struct{})
	e := &echo{
		unary:  func(context.Context, note) (note, error) { close(inCall); <-goOn; return newNote("done"), nil },
		stream: func(s grpc.ServerStream) error { close(inStream); <-s.Context().Done(); return nil },
	}
	server, err := mesh.NewServer(mesh.ServerConfig{
		Name: "echo", TLS: iss.CA.Server(t, "echo"), Verifier: iss.Verifier(t, "echo"),
		Revocations: mesh.NoRevocations(), Logger: meshtest.Logger(t), DrainTime: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.register(server)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, lis) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(iss.CA.Client(t, "test-client"))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	as := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	answer := make(chan error, 1)
	go func() { _, err := say(as, conn, "Say", ""); answer <- err }()
	stream := open(t, as, conn, "Watch")
	<-inCall
	<-inStream
	stop()
	if err := end(stream); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	close(goOn)
	if err := <-answer; err != nil {
		t.Errorf("the call was cut off: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
