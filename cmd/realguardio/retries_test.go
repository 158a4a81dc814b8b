package main_test

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// TestOnlyWhatChangesNothingIsSentAgain calls every method that is linked in, over a connection of the mesh, at servers that
// fail in the ways in which a retry, a hedge or grpc's own retry could send a call again.
func TestOnlyWhatChangesNothingIsSentAgain(t *testing.T) {
	ca := meshtest.NewCA(t)
	ours, _ := linkedServices(t)
	policies, err := mesh.NewPolicies(ours...)
	if err != nil {
		t.Fatal(err)
	}
	changes := changing(ours)
	if len(changes) < 20 || len(changes) > len(ours)*40 {
		t.Fatalf("%d methods change something", len(changes))
	}
	for name, tt := range map[string]struct {
		fail func(w *http2.Framer, stream uint32) (goOn bool)
		// times is how often a call comes that changes something, and one that does not.
		change, read int
	}{
		"one that says that it is down": {unavailable, 1, 3},
		"one that resets the call": {func(w *http2.Framer, stream uint32) bool {
			return w.WriteRSTStream(stream, http2.ErrCodeInternal) == nil
		}, 1, 1},
		"one whose connection breaks": {func(*http2.Framer, uint32) bool { return false }, 1, 3},
		// It has begun nothing, and says so: grpc sends once more what nobody has seen.
		"one that has not begun": {func(w *http2.Framer, stream uint32) bool {
			return w.WriteRSTStream(stream, http2.ErrCodeRefusedStream) == nil
		}, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			address, came := failing(t, ca, tt.fail)
			var all sync.WaitGroup
			for rule := range policies.All() {
				all.Go(func() {
					conn, err := mesh.Dial(mesh.DialConfig{Target: address, TLS: ca.Client(t, "gateway"), Propagation: mesh.Anonymous(), IgnoreHealth: true})
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					if err := invoke(t.Context(), conn, rule, nil); status.Code(err) == codes.OK {
						t.Errorf("%s has been answered", rule.Method)
					}
				})
			}
			all.Wait()
			reads := 0
			for rule := range policies.All() {
				n := came.of(rule.Method)
				if changes[rule.Method] && (n < 1 || n > tt.change) {
					t.Errorf("%s was sent %d times, not %d at most", rule.Method, n, tt.change)
				}
				if !changes[rule.Method] {
					reads = max(reads, n)
				}
			}
			if reads != tt.read {
				t.Errorf("what changes nothing was sent %d times, not %d", reads, tt.read)
			}
		})
	}
}

// arrivals counts calls by their method.
type arrivals struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *arrivals) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[method]++
}

func (c *arrivals) of(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[method]
}

// changing are the methods that do not say that they change nothing.
func changing(services []protoreflect.ServiceDescriptor) map[string]bool {
	all := map[string]bool{}
	for _, service := range services {
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			options, _ := m.Options().(*descriptorpb.MethodOptions)
			if options.GetIdempotencyLevel() != descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
				all["/"+string(service.FullName())+"/"+string(m.Name())] = true
			}
		}
	}
	return all
}

// failing is a server that lets every call fail, and tells which have come. Where fail returns false the connection ends.
func failing(t *testing.T, ca *meshtest.CA, fail func(*http2.Framer, uint32) bool) (address string, came *arrivals) {
	t.Helper()
	config := ca.Server(t, "token")
	config.NextProtos = []string{"h2"}
	lis, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	came = &arrivals{n: map[string]int{}}
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go failAll(conn, came, fail)
		}
	}()
	return lis.Addr().String(), came
}

func failAll(conn net.Conn, came *arrivals, fail func(*http2.Framer, uint32) bool) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			came.add(f.PseudoValue("path"))
		case *http2.DataFrame:
			if f.StreamEnded() && !fail(framer, f.StreamID) {
				return
			}
		}
	}
}

func unavailable(w *http2.Framer, stream uint32) bool {
	// ":status" 200 by its index; the others as literals (RFC 7541, appendix A and section 6.2.2).
	block := []byte{0x88}
	for _, field := range [][2]string{{"content-type", "application/grpc"}, {"grpc-status", "14"}} {
		block = append(append(append(block, 0, byte(len(field[0]))), field[0]...), byte(len(field[1])))
		block = append(block, field[1]...)
	}
	return w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: true, EndHeaders: true}) == nil
}
