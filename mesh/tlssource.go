package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// TLSSource gives the TLS configuration of each connection that is made, so that what is renewed is followed.
type TLSSource interface {
	Client() (*tls.Config, error)
}

// sourced is TLS whose configuration is asked for at every handshake. While the source has none, the last is used.
type sourced struct {
	credentials.TransportCredentials // of the first
	source                           TLSSource

	mu   sync.Mutex
	last *tls.Config
}

func newSourced(source TLSSource) (*sourced, error) {
	config, err := source.Client()
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("mesh: TLS: the source has no configuration")
	}
	return &sourced{TransportCredentials: newTLS(config), source: source, last: config}, nil
}

func (s *sourced) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return newTLS(s.config()).ClientHandshake(ctx, authority, conn)
}

func (s *sourced) config() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if config, err := s.source.Client(); err == nil && config != nil {
		s.last = config
	}
	return s.last
}

// Clone returns s: a connection of ours overrides no name in its copy.
func (s *sourced) Clone() credentials.TransportCredentials { return s }
