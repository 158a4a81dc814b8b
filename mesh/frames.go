package mesh

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// errFlood ends a connection on which there is more to answer than to do.
var errFlood = errors.New("mesh: too many frames that carry nothing")

const (
	// idleFrames is how many frames that carry nothing a client may send, idleRefill how many more with each second.
	idleFrames, idleRefill = 1000, 10
	// idlePerCall is how many come with a call: it may be ended, be reset, and have headers in several frames.
	idlePerCall = 5
	// bytesPerIdle is how many bytes to the client are worth one more. It says by frames how much more it has room for, and
	// acknowledges each ping, of which every one is worth that.
	bytesPerIdle = 16
)

// Types and flags of frames (RFC 9113, section 6).
const (
	frameData, frameHeaders, framePing = 0x0, 0x1, 0x6
	flagAck, flagPadded                = 0x1, 0x8
	framePreface, frameHeader          = 24, 9
)

// frames is a connection of HTTP/2 whose client may not send without end what carries nothing and has to be looked at, and
// often answered: settings, resets, priorities, updates of windows, parts of headers and data that are empty, acknowledgements,
// and what has no name. grpc bounds pings alone, and holds what it cannot answer because nobody reads it. One goroutine reads.
type frames struct {
	net.Conn
	now func() time.Time
	// flooded is told that the connection has ended.
	flooded func()

	skip   int
	head   [frameHeader]byte
	filled int
	// left is what may still come, and looked when that was last made more.
	left    int64
	looked  time.Time
	written atomic.Int64
}

func newFrames(conn net.Conn, now func() time.Time, flooded func()) *frames {
	return &frames{Conn: conn, now: now, flooded: flooded, skip: framePreface, left: idleFrames, looked: now()}
}

func (f *frames) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	f.written.Add(int64(n))
	return n, err
}

func (f *frames) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if !f.pass(p[:n]) {
		f.flooded()
		_ = f.Conn.Close()
		return 0, errFlood
	}
	return n, err
}

// pass looks at the heads of frames as they come, in whatever pieces (RFC 9113, section 4.1).
func (f *frames) pass(b []byte) bool {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(b))
			f.skip -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.filled:], b)
		f.filled += n
		b = b[n:]
		if f.filled < frameHeader {
			return true
		}
		f.filled = 0
		f.skip = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		if !f.afford(f.head[3], f.head[4]) {
			return false
		}
	}
	return true
}

// afford reports whether a frame may come: one that carries something, or one more of those that do not.
func (f *frames) afford(kind, flags byte) bool {
	switch {
	case kind == frameHeaders:
		f.left = min(f.left+idlePerCall, idleFrames)
		return true
	case kind == framePing && flags&flagAck == 0:
		return true
	case kind == frameData && (f.skip > 1 || f.skip == 1 && flags&flagPadded == 0): // the length of padding carries nothing
		return true
	}
	if f.left--; f.left >= 0 {
		return true
	}
	now := f.now()
	f.left = min(f.written.Swap(0)/bytesPerIdle+int64(now.Sub(f.looked)*idleRefill/time.Second), 64*idleFrames) - 1
	f.looked = now
	return f.left >= 0
}
