package storetest

import (
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// Outage is a PostgreSQL database that a test can take away and give back.
type Outage struct {
	// URL is that of an empty schema.
	URL string

	server string
	mu     sync.Mutex
	down   bool
	open   map[net.Conn]bool
}

// NewOutage starts a database that is there at first. It needs PostgreSQL: callers skip themselves with -short.
func NewOutage(t *testing.T) *Outage {
	t.Helper()
	cluster, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	params := url.Values{"sslmode": {"disable"}, "schema": {nextSchema()}}
	o := &Outage{
		URL:    "postgres://postgres@" + listener.Addr().String() + "/postgres?" + params.Encode(),
		server: filepath.Join(cluster.dir, ".s.PGSQL.5432"),
		open:   map[net.Conn]bool{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { o.forward(ctx, client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		o.Set(true)
		serving.Wait()
	})
	return o
}

// Set takes the database away, with the connections there are, or gives it back.
func (o *Outage) Set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
	for conn := range o.open {
		if down {
			_ = conn.Close()
		}
	}
}

// admit keeps track of a connection, unless the database is away.
func (o *Outage) admit(conn net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.down {
		o.open[conn] = true
	}
	return !o.down
}

func (o *Outage) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	if !o.admit(client) {
		return
	}
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.open, client)
	}()
	server, err := new(net.Dialer).DialContext(ctx, "unix", o.server)
	if err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	both.Wait()
}
