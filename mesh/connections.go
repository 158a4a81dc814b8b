package mesh

import (
	"container/list"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

var errTooManyConnections = errors.New("mesh: too many connections")

// connections is transport security that bounds how many connections a server has, and what may come on each to no purpose.
type connections struct {
	credentials.TransportCredentials
	limits Limits
	shed   func(what string)
	now    func() time.Time

	open atomic.Int64
	mu   sync.Mutex
	// shaking are the connections in their handshake, the oldest first.
	shaking list.List // of *handshake
}

func (c *connections) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.open.Add(1) > int64(c.limits.Connections) {
		c.open.Add(-1)
		c.shed(ShedConnection)
		return nil, nil, errTooManyConnections
	}
	place := c.begin(raw)
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if ended := c.end(place); ended && err == nil {
		// It needed nothing more of raw. grpc would find that closed, and close nothing but that: it would count for ever.
		_ = conn.Close()
		err = errTooManyConnections
	}
	if err != nil {
		c.open.Add(-1)
		return nil, nil, err
	}
	flooded := func() { c.shed(ShedFlood) }
	return &counted{Conn: newFrames(conn, c.now, flooded), open: &c.open}, info, nil
}

// handshake is a connection in its handshake.
type handshake struct {
	raw   net.Conn
	ended bool
}

// begin notes a handshake. Where there are too many it ends the oldest: honest ones are over in milliseconds, so that who
// only holds places is the first to lose them.
func (c *connections) begin(raw net.Conn) *list.Element {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shaking.Len() >= c.limits.Handshakes {
		oldest := c.shaking.Remove(c.shaking.Front()).(*handshake)
		oldest.ended = true
		_ = oldest.raw.Close()
		c.shed(ShedHandshake)
	}
	return c.shaking.PushBack(&handshake{raw: raw})
}

// end notes that a handshake is over, and reports whether another one has ended it.
func (c *connections) end(place *list.Element) (ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shaking.Remove(place).(*handshake).ended // removes nothing, where it was ended
}

// Clone returns c: the count is of the server.
func (c *connections) Clone() credentials.TransportCredentials { return c }

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	open   *atomic.Int64
	closed sync.Once
}

func (c *counted) Close() error {
	c.closed.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
