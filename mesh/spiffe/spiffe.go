// Package spiffe lets a part prove itself, and know the others, by certificates (X.509-SVIDs) of a SPIFFE Workload API,
// such as SPIRE's agent or Istio's serve on every machine. Certificates and authorities that are renewed are followed.
//
// How workloads' names stand in their ids, and what a name may do, is package mesh's.
package spiffe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/realguardio/realguardio/mesh"
)

// SocketVariable is the environment variable in which a Workload API is announced (SPIFFE Workload Endpoint, section 4).
const SocketVariable = "SPIFFE_ENDPOINT_SOCKET"

// Config says which certificates a [Source] has.
type Config struct {
	// Part is the name of this part: of the certificates that the API gives, the one with its id is shown. Required.
	Part string
	// WorkloadIDs is the form of the ids of the mesh. Default: [mesh.WorkloadID].
	WorkloadIDs mesh.WorkloadIDs
	// Socket is where the API is: "unix:///run/spire/agent.sock" or "tcp://127.0.0.1:8081". Default: what the environment
	// says in [SocketVariable].
	Socket string
	// Logger is told what goes wrong between this process and the API. Default: nobody.
	Logger *slog.Logger
}

// Source is the certificate of a part and the authorities of its trust domain, as they are now. It is safe for concurrent
// use.
type Source struct {
	part   string
	ids    mesh.WorkloadIDs
	domain spiffeid.TrustDomain
	log    *slog.Logger

	now   atomic.Pointer[material]
	first chan struct{}
	stop  func()
}

// New connects to the Workload API and waits, until ctx ends, for a certificate of the part.
func New(ctx context.Context, cfg Config) (*Source, error) {
	if cfg.Part == "" {
		return nil, errors.New("spiffe: Part is missing")
	}
	domain, err := spiffeid.TrustDomainFromString(cfg.WorkloadIDs.Domain())
	if err != nil {
		return nil, fmt.Errorf("spiffe: trust domain: %w", err)
	}
	if cfg.Socket == "" {
		cfg.Socket = os.Getenv(SocketVariable)
	}
	if err := CheckSocket(cfg.Socket); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(cfg.Socket))
	if err != nil {
		return nil, fmt.Errorf("spiffe: dial the Workload API at %s: %w", cfg.Socket, err)
	}
	s := &Source{part: cfg.Part, ids: cfg.WorkloadIDs, domain: domain, log: cfg.Logger, first: make(chan struct{})}
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { s.follow(following, client) })
	s.stop = sync.OnceFunc(func() {
		cancel()
		work.Wait()
		s.now.Store(nil)
		_ = client.Close()
	})
	select {
	case <-s.first:
		return s, nil
	case <-ctx.Done():
		s.stop()
		return nil, fmt.Errorf("spiffe: the Workload API at %s has given no certificate with the id %s: %w", cfg.Socket, s.ids.ID(s.part), ctx.Err())
	}
}

// CheckSocket says what is wrong with the address of a Workload API.
func CheckSocket(socket string) error {
	if socket == "" {
		return errors.New("spiffe: the address of the Workload API is missing")
	}
	if err := workloadapi.ValidateAddress(socket); err != nil {
		return fmt.Errorf("spiffe: address of the Workload API: %w", err)
	}
	return nil
}

// Close stops following, and waits for that. Connections that exist stay; handshakes fail from then on.
func (s *Source) Close() error {
	s.stop()
	return nil
}

// Server returns TLS 1.3 that demands a certificate of the trust domain from each client, with an id of the mesh's form.
// Sessions are not resumed, so that no client comes back on a certificate that would not be accepted any more.
func (s *Source) Server() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate() },
		VerifyConnection:       s.knowClient,
		SessionTicketsDisabled: true,
	}
	now := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m, err := s.material()
		if err != nil {
			return nil, err
		}
		c := now.Clone()
		c.ClientCAs = m.authorities
		return c, nil
	}
	return config, nil
}

// knowClient demands more of a certificate that comes from the right authority: that it is one of a workload.
func (s *Source) knowClient(state tls.ConnectionState) error {
	if _, err := s.verify(state); err != nil {
		return fmt.Errorf("spiffe: a client's certificate: %w", err)
	}
	if _, ok := s.ids.Name(state.PeerCertificates[0]); !ok {
		return errors.New("spiffe: a client's id is not of this mesh's form")
	}
	return nil
}

// To returns TLS 1.3 towards one part: whoever answers must have the id of that part. The name that was dialled does not
// count, as the certificates of workloads need have none.
func (s *Source) To(part string) mesh.TLSSource { return peer{s, part} }

type peer struct {
	source *Source
	part   string
}

func (p peer) Client() (*tls.Config, error) {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.source.certificate() },
		// crypto/tls would demand a DNS name. The chain and the id are verified by VerifyConnection instead.
		InsecureSkipVerify: true,
		VerifyConnection:   p.knowServer,
	}, nil
}

func (p peer) knowServer(state tls.ConnectionState) error {
	id, err := p.source.verify(state)
	if err != nil {
		return fmt.Errorf("spiffe: the certificate of %s: %w", p.part, err)
	}
	if want := p.source.ids.ID(p.part); id.String() != want {
		return fmt.Errorf("spiffe: %s answers, want %s", id, want)
	}
	return nil
}

// verify checks the chain and the form that a workload's certificate must have (SPIFFE X.509-SVID, section 5).
func (s *Source) verify(state tls.ConnectionState) (spiffeid.ID, error) {
	m, err := s.material()
	if err != nil {
		return spiffeid.ID{}, err
	}
	id, _, err := x509svid.Verify(state.PeerCertificates, m.bundle)
	return id, err
}

func (s *Source) certificate() (*tls.Certificate, error) {
	m, err := s.material()
	if err != nil {
		return nil, err
	}
	return m.pair, nil
}

func (s *Source) material() (*material, error) {
	if m := s.now.Load(); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("spiffe: there is no certificate with the id %s", s.ids.ID(s.part))
}
