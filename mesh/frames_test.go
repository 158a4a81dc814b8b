package mesh_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestAFloodOfPingsEndsTheConnection(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo"}, (&echo{unary: whoami}).register)
	w := newWire(t, iss, srv)
	for range 10 {
		if w.WritePing(false, [8]byte{1}) != nil {
			break // it has been ended already
		}
	}
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		if goAway, ok := frame.(*http2.GoAwayFrame); ok {
			if goAway.ErrCode != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY with %v", goAway.ErrCode)
			}
			break
		}
	}
	if _, err := say(t.Context(), srv.Dial(t), "Open", ""); err != nil {
		t.Errorf("others: %v", err)
	}
}

// TestAFloodOfFramesEndsTheConnection sends what carries nothing, and never reads what is answered: while it lasts others are
// served, and nothing piles up.
func TestAFloodOfFramesEndsTheConnection(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	shed := make(chan string, 100)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.Shed = func(what string) { shed <- what } }},
		(&echo{unary: whoami, stream: func(s grpc.ServerStream) error { <-s.Context().Done(); return s.Context().Err() }}).register)
	conn := srv.Dial(t)
	const many = 200_000
	for name, flood := range map[string]func(w *wire, stream uint32) error{
		"settings": func(w *wire, _ uint32) error { return w.WriteSettings() },
		"settings that change something": func(w *wire, _ uint32) error {
			return w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		},
		"settings acknowledged":         func(w *wire, _ uint32) error { return w.WriteSettingsAck() },
		"resets of a stream that ended": func(w *wire, stream uint32) error { return w.WriteRSTStream(stream, http2.ErrCodeCancel) },
		"updates of a window":           func(w *wire, _ uint32) error { return w.WriteWindowUpdate(0, 1) },
		"updates of a stream's window":  func(w *wire, stream uint32) error { return w.WriteWindowUpdate(stream, 1) },
		"priorities":                    func(w *wire, stream uint32) error { return w.WritePriority(stream, http2.PriorityParam{Weight: 1}) },
		"empty data":                    func(w *wire, stream uint32) error { return w.WriteData(stream, false, nil) },
		"pings acknowledged":            func(w *wire, _ uint32) error { return w.WritePing(true, [8]byte{1}) },
		"ends of a stream that ended":   func(w *wire, stream uint32) error { return w.WriteData(stream, true, nil) },
		"data of no length, padded":     func(w *wire, stream uint32) error { return w.WriteDataPadded(stream, false, nil, []byte{}) },
		"frames of no known type":       func(w *wire, stream uint32) error { return w.WriteRawFrame(0xee, 0, stream, nil) },
		"continuations of no length": func(w *wire, stream uint32) error {
			if w.next == stream+2 {
				w.next += 2
				return w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream + 2, BlockFragment: w.headers("/test.mesh.v1.Echo/Say")})
			}
			return w.WriteContinuation(stream+2, false, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, iss, srv)
			stream, err := w.begin("/test.mesh.v1.Echo/Watch")
			if err == nil {
				err = w.WriteData(stream, false, message(0, nil))
			}
			sent := 0
			allocated, kept := spent(func() {
				for ; err == nil && sent < many; sent++ {
					err = flood(w, stream)
				}
			})
			if err == nil || isTimeout(err) {
				t.Fatalf("the connection is there after %d frames: %v", sent, err)
			}
			if allocated > 64<<20 || kept > 2<<20 {
				t.Errorf("%d KB were allocated and %d KB kept for %d frames", allocated>>10, kept>>10, sent)
			}
			if what := <-shed; what != mesh.ShedFlood {
				t.Errorf("it shed a %s", what)
			}
			if _, err := say(t.Context(), conn, "Open", ""); err != nil {
				t.Errorf("others: %v", err)
			}
			t.Logf("ended within %d frames", sent)
		})
	}
}

// TestWhatIsNoFloodGoesOn calls, streams both ways and gives up calls on one connection, more often than a flood has frames.
func TestWhatIsNoFloodGoesOn(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Shed = func(what string) { t.Errorf("it shed a %s", what) }
	}}, (&echo{unary: whoami, stream: func(s grpc.ServerStream) error {
		in := newNote("")
		for s.RecvMsg(in.Message) == nil {
			if err := s.SendMsg(in.Message); err != nil {
				return err
			}
		}
		return nil
	}}).register)
	conn := srv.Dial(t)
	ctx := meshtest.As(t.Context(), iss.Token(t, meshtest.Claims{}))
	both := open(t, ctx, conn, "Chat")
	for i := range 1200 {
		given, giveUp := context.WithCancel(ctx)
		stream := open(t, given, conn, "Chat")
		giveUp()
		_ = end(stream)
		text := ""
		if i%100 == 0 {
			text = strings.Repeat("x", 500_000) // windows have to be opened for it
		}
		if err := both.SendMsg(newNote(text).Message); err != nil {
			t.Fatal(err)
		}
		if err := both.RecvMsg(newNote("").Message); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
	}
}

// TestCallsThatAreResetAtOnceStillCount opens calls and resets them, as fast as it can: the server works at no more of
// them than one connection may have, however many are begun.
func TestCallsThatAreResetAtOnceStillCount(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	var inside, most atomic.Int64
	release := make(chan struct{})
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) { c.MaxStreams = 5 }},
		(&echo{unary: func(context.Context, note) (note, error) {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-release // a handler that does not notice that nobody waits
			inside.Add(-1)
			return newNote(""), nil
		}}).register)
	w := newWire(t, iss, srv)
	if err := w.WriteSettingsAck(); err != nil {
		t.Fatal(err)
	}
	written := make(chan int, 1)
	go func() {
		for n := range 500 {
			id, err := w.begin("/test.mesh.v1.Echo/Say")
			if err == nil {
				err = w.WriteData(id, true, message(0, nil))
			}
			if err == nil {
				err = w.WriteRSTStream(id, http2.ErrCodeCancel)
			}
			if err != nil {
				written <- n
				return
			}
		}
		written <- 500
	}()
	conn := srv.Dial(t)
	for range 3 { // meanwhile others are served
		if _, err := healthCheck(t.Context(), conn); err != nil {
			t.Errorf("others: %v", err)
		}
	}
	if n := <-written; n < 50 {
		t.Logf("the connection was ended after %d calls", n)
	}
	if most.Load() > 5 {
		t.Errorf("%d calls of one connection at a time", most.Load())
	}
	close(release)
}
