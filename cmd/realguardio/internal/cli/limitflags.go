package cli

import (
	"errors"
	"fmt"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/gateway"
	"github.com/realguardio/realguardio/mesh"
)

// limitFlags bound what all callers of a part together may cost it.
type limitFlags struct {
	server mesh.Limits
	// each is how many calls and streams one connection may have.
	each int
}

func (f *limitFlags) declare(s *settings.Set) {
	f.server, f.each = mesh.DefaultLimits(), mesh.DefaultMaxStreams
	s.Count(&f.server.Calls, "max-calls", "how many gRPC calls that are no streams may be in progress")
	s.Count(&f.server.Queue, "max-waiting-calls", "how many calls beyond max-calls may wait for their turn; more are refused")
	s.Duration(&f.server.QueueTime, "max-wait", "how long a call beyond max-calls may wait for its turn", positive)
	s.Count(&f.server.Streams, "max-streams", "how many gRPC streams may be open")
	s.Count(&f.each, "max-calls-per-connection", "how many calls and streams one gRPC connection may have at a time")
	s.Count(&f.server.Connections, "max-connections", "how many gRPC connections may be open")
	s.Count(&f.server.Handshakes, "max-handshakes", "how many gRPC connections may be in their handshake; one more ends the oldest")
	s.Rule(func() error {
		if f.server.Handshakes > f.server.Connections {
			return fmt.Errorf("--max-handshakes %d are more than --max-connections %d", f.server.Handshakes, f.server.Connections)
		}
		return nil
	})
}

// edgeLimitFlags bound what callers from outside may have open, and each of them.
type edgeLimitFlags struct{ gateway.Limits }

func (f *edgeLimitFlags) declare(s *settings.Set) {
	f.Limits = gateway.DefaultLimits()
	s.Count(&f.Streams, "max-outside-streams", "how many streams may be open to the outside, by REST and native gRPC together")
	s.Count(&f.EachStreams, "max-streams-per-caller", "how many streams one person or client may have open, by all of their sessions and applications")
	s.Count(&f.Calls, "max-outside-calls", "how many native gRPC calls that are no streams may be in progress to the outside")
	s.Count(&f.EachCalls, "max-calls-per-caller", "how many native gRPC calls that are no streams one person or client may have in progress")
}

// positive refuses no time at all, where that would be taken for the default.
func positive(value string) error {
	if value == "" {
		return errors.New("must be longer than nothing")
	}
	return nil
}
