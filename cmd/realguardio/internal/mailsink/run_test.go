package mailsink

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestRunEndsWhenItWasToldToBeforeItBegan(t *testing.T) {
	sink, err := Listen("127.0.0.1:0", nil, time.Now, meshtest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sink.server.Close() // what the end of ctx does, before Serve has begun
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(ctx) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		sink.listener.Close()
		t.Fatal("it does not end")
	}
	if conn, err := net.Dial("tcp", sink.Addr()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}
