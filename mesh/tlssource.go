package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/realguardio/realguardio/mesh/internal/balancing"
)

// TLSSource gives the TLS configuration of each connection that is made, so that what is renewed is followed. It is asked
// every second besides: where another certificate would be shown than a connection has shown, another connection takes
// its place.
type TLSSource interface {
	Client() (*tls.Config, error)
}

// unchanging is a configuration that stays as it is. The certificate may change that its GetClientCertificate gives.
type unchanging struct{ config *tls.Config }

func (u unchanging) Client() (*tls.Config, error) { return u.config, nil }

// sourced is TLS whose configuration is asked for at every handshake. While the source has none, the last is used.
type sourced struct {
	credentials.TransportCredentials // of the first
	source                           TLSSource
	// pinned is shown whatever the source says; nil for what that says.
	pinned *tls.Certificate

	mu   sync.Mutex
	last *tls.Config
}

func newSourced(source TLSSource, pinned *tls.Certificate) (*sourced, error) {
	if files, ok := source.(TLSFiles); ok { // which would be read anew each time
		opened, err := files.open()
		if err != nil {
			return nil, err
		}
		source = opened
	}
	config, err := source.Client()
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("mesh: TLS: the source has no configuration")
	}
	return &sourced{TransportCredentials: newTLS(config), source: source, pinned: pinned, last: config}, nil
}

// handshake makes a connection that knows which certificate it has shown.
func (s *sourced) handshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, *authInfo, error) {
	config, own := s.config().Clone(), &shown{}
	config.GetClientCertificate = own.keep(s.choose(config))
	config.ClientSessionCache = nil // in a session that is resumed nothing is shown
	conn, info, err := newTLS(config).ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	tls, _ := tlsOf(info)
	return conn, &authInfo{TLSInfo: tls, made: time.Now(), own: own, sent: newSentTokens()}, nil
}

// Outdated implements [balancing.Renewing]: another certificate would be shown now, or the peer's has run out, for which it
// may have a new one.
func (s *sourced) Outdated(info credentials.AuthInfo) bool {
	c, ok := info.(*authInfo)
	if !ok {
		return false
	}
	if peers := c.State.PeerCertificates; len(peers) > 0 && c.made.Before(peers[0].NotAfter) && time.Now().After(peers[0].NotAfter) {
		return true
	}
	if c.own.request == nil {
		return false
	}
	now, err := s.choose(s.config())(c.own.request)
	return err == nil && now != nil && len(now.Certificate) > 0 && digestOf(now) != c.own.digest
}

// choose returns what chooses the certificate that is shown.
func (s *sourced) choose(config *tls.Config) chooser {
	switch {
	case s.pinned != nil:
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.pinned, nil }
	case config.GetClientCertificate != nil:
		return config.GetClientCertificate
	default: // as crypto/tls does
		return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range config.Certificates {
				if request.SupportsCertificate(&config.Certificates[i]) == nil {
					return &config.Certificates[i], nil
				}
			}
			return &tls.Certificate{}, nil
		}
	}
}

func (s *sourced) config() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if config, err := s.source.Client(); err == nil && config != nil {
		s.last = config
	}
	return s.last
}

var _ balancing.Renewing = (*sourced)(nil)
