package mesh_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // a server that can unpack is the one to attack
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func countOf(s, part string) int { return strings.Count(s, part) }

// wire is a connection on which a test writes the frames of HTTP/2 itself.
type wire struct {
	*http2.Framer
	conn  *tls.Conn
	t     *testing.T
	token string
	next  uint32
}

func newWire(t *testing.T, iss *meshtest.Issuer, srv *meshtest.Server) *wire {
	t.Helper()
	config := iss.CA.Client(t, "test-client")
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", srv.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	w := &wire{Framer: http2.NewFramer(conn, conn), conn: conn, t: t, token: iss.Token(t, meshtest.Claims{}), next: 1}
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := w.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return w
}

// begin opens a stream with the headers of a call, and returns its number.
func (w *wire) begin(method string, more ...string) (uint32, error) {
	id := w.next
	w.next += 2
	block := w.headers(method, append([]string{"authorization", "Bearer " + w.token}, more...)...)
	return id, w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true})
}

// headers are those of a call, written so that the next ones need not know of these.
func (w *wire) headers(method string, more ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{
		":method", "POST", ":scheme", "https", ":path", method, ":authority", "localhost", "content-type", "application/grpc", "te", "trailers",
	}, more...)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true}); err != nil {
			w.t.Fatal(err)
		}
	}
	return block.Bytes()
}

// close ends the sending side: what the server has answered can still be read.
func (w *wire) close() { _ = w.conn.CloseWrite() }

// message is one message as it stands in frames of data.
func message(compressed byte, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(len(content))), content...)
}

// answer reads until a stream has ended, and returns the status that it ended with: of gRPC, or of HTTP.
func (w *wire) answer(id uint32) string {
	w.t.Helper()
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			w.t.Fatalf("no answer: %v", err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID != id || !f.StreamEnded() {
				continue
			}
			code := ""
			for _, field := range f.Fields {
				if field.Name == ":status" && code == "" || field.Name == "grpc-status" {
					code = field.Value
				}
			}
			return code
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return f.ErrCode.String()
			}
		}
	}
}

func TestDeadlinesThatMakeNoSense(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.CallLimit = 30 * time.Second }},
		(&echo{unary: func(ctx context.Context, _ note) (note, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 30*time.Second {
				t.Error("the deadline is not capped")
			}
			if ctx.Err() != nil {
				return newNote(""), ctx.Err()
			}
			return newNote(""), nil
		}}).register)
	deadlineExceeded := strconv.Itoa(int(codes.DeadlineExceeded))
	for _, tt := range []struct {
		name, timeout string
		want          []string
	}{
		{name: "none at all", timeout: "0S", want: []string{deadlineExceeded, "CANCEL"}},
		{name: "no nanosecond", timeout: "0n", want: []string{deadlineExceeded, "CANCEL"}},
		{name: "before now", timeout: "-1S", want: []string{"400", "13"}},
		{name: "in ten years", timeout: "87600H", want: []string{"0"}},
		{name: "beyond what can be counted", timeout: "99999999H", want: []string{"0"}},
		{name: "too many digits", timeout: "876000000000H", want: []string{"400", "13"}},
		{name: "no number", timeout: "soon", want: []string{"400", "13"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, iss, srv)
			id, err := w.begin("/test.mesh.v1.Echo/Say", "grpc-timeout", tt.timeout)
			if err == nil {
				err = w.WriteData(id, true, message(0, nil))
			}
			if err != nil {
				t.Fatal(err)
			}
			got := w.answer(id)
			for _, want := range tt.want {
				if got == want {
					return
				}
			}
			t.Errorf("got %s, want one of %v", got, tt.want)
		})
	}
}

// TestACallThatIsCancelledWhileItsTokenIsVerifiedLeavesNothing cancels calls whose verifier is slow.
func TestACallThatIsCancelledWhileItsTokenIsVerifiedLeavesNothing(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	entered, left := make(chan struct{}), make(chan error, 1)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Verifier = slowVerifier{entered, left}
		c.Limits = mesh.Limits{Calls: 1, Streams: 1, Queue: 1, QueueTime: time.Nanosecond}
	}}, (&echo{
		unary:  func(context.Context, note) (note, error) { t.Error("the handler ran"); return newNote(""), nil },
		stream: func(grpc.ServerStream) error { t.Error("the handler ran"); return nil },
	}).register)
	conn := srv.Dial(t)
	for _, method := range []string{"Say", "Watch"} {
		ctx, cancel := context.WithCancel(meshtest.As(t.Context(), "a.b.c"))
		answer := make(chan error, 1)
		go func() {
			if method == "Say" {
				_, err := say(ctx, conn, method, "")
				answer <- err
				return
			}
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.mesh.v1.Echo/"+method)
			if err == nil {
				_ = stream.SendMsg(newNote("").Message)
				err = stream.RecvMsg(newNote("").Message)
			}
			answer <- err
		}()
		<-entered
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the verifier saw %v", method, err)
		}
		if err := <-answer; status.Code(err) != codes.Canceled {
			t.Errorf("%s: got %v", method, err)
		}
	}
}

// slowVerifier answers when its context ends.
type slowVerifier struct {
	entered chan<- struct{}
	left    chan<- error
}

func (v slowVerifier) Verify(ctx context.Context, _ string) (mesh.Identity, error) {
	v.entered <- struct{}{}
	<-ctx.Done()
	v.left <- ctx.Err()
	return mesh.Identity{}, ctx.Err()
}

func TestAMessageThatCannotBeReadIsItsSendersFault(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{
		unary:  func(context.Context, note) (note, error) { t.Error("the handler ran"); return newNote(""), nil },
		stream: func(s grpc.ServerStream) error { return s.RecvMsg(newNote("").Message) },
	}).register)
	conn := srv.Dial(t)
	broken := &emptypb.Empty{}
	broken.ProtoReflect().SetUnknown([]byte{0x0a, 0x7f, 'x'}) // text of 127 bytes, of which there is one
	good := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	for _, method := range []string{"Say", "Watch"} {
		for name, tt := range map[string]struct {
			ctx    context.Context
			code   codes.Code
			reason string
		}{
			"of a caller who may":     {good, codes.InvalidArgument, "MALFORMED_MESSAGE"},
			"of a caller who may not": {t.Context(), codes.Unauthenticated, "UNAUTHENTICATED"},
		} {
			stream, err := conn.NewStream(tt.ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.mesh.v1.Echo/"+method)
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.SendMsg(broken)
			_ = stream.CloseSend()
			err = stream.RecvMsg(newNote("").Message)
			if status.Code(err) != tt.code || mesh.Reason(err) != tt.reason || strings.Contains(err.Error(), "proto") {
				t.Errorf("%s %s: got %v (%s)", method, name, err, mesh.Reason(err))
			}
		}
	}
}

// TestABombIsNotUnpacked sends a message of 48 kilobytes that unpacks to 48 megabytes.
func TestABombIsNotUnpacked(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{
		unary:  func(context.Context, note) (note, error) { t.Error("the handler ran"); return newNote(""), nil },
		stream: func(s grpc.ServerStream) error { return s.RecvMsg(newNote("").Message) },
	}).register)
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 48 {
		if _, err := packed.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	exhausted := strconv.Itoa(int(codes.ResourceExhausted))
	for _, method := range []string{"Say", "Watch"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := newWire(t, iss, srv)
		id, err := w.begin("/test.mesh.v1.Echo/"+method, "grpc-encoding", "gzip")
		if err != nil {
			t.Fatal(err)
		}
		for rest := message(1, bomb.Bytes()); len(rest) > 0; {
			n := min(len(rest), 16<<10)
			if err := w.WriteData(id, n == len(rest), rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got := w.answer(id); got != exhausted {
			t.Errorf("%s: got %s", method, got)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 8<<20 {
			t.Errorf("%s: %d MB were allocated", method, grown>>20)
		}
	}
}

// TestManyEmptyMessages sends far more messages of no length than anyone would keep.
func TestManyEmptyMessages(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	const many = 100_000
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{stream: func(s grpc.ServerStream) error {
		n := 0
		for {
			if err := s.RecvMsg(newNote("").Message); errors.Is(err, io.EOF) {
				return s.SendMsg(newNote(strconv.Itoa(n)).Message)
			} else if err != nil {
				return err
			}
			n++
		}
	}}).register)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	stream, err := srv.Dial(t).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.mesh.v1.Echo/Chat")
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range many {
		if err := stream.SendMsg(&emptypb.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	_ = stream.CloseSend()
	got := newNote("")
	if err := stream.RecvMsg(got.Message); err != nil || got.text() != strconv.Itoa(many) {
		t.Errorf("got %q, %v", got.text(), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d MB were kept", grown>>20)
	}
}

func TestPlaintextWhereTLSIsExpected(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	conn, err := mesh.Dial(mesh.DialConfig{Target: srv.Addr, Insecure: true, Propagation: mesh.Anonymous()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := say(t.Context(), conn, "Open", ""); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	raw, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(raw, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if answered, err := io.ReadAll(raw); isTimeout(err) || bytes.Contains(answered, []byte("HTTP")) {
		t.Errorf("got %q, %v", answered, err)
	}
}
