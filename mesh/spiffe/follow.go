package spiffe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// material is what one answer of the Workload API holds for a part: its certificate, and the authorities of its trust
// domain in two forms. Those of other domains are left out.
type material struct {
	pair        *tls.Certificate
	authorities *x509.CertPool
	bundle      *x509bundle.Bundle
}

// askAgain is when the API is asked again after it ended the conversation for good, as one that is replaced may.
const askAgain = time.Second

// follow keeps the source as the API says until ctx ends. go-spiffe's own source does as much, but what reads its
// authorities races with what replaces them.
func (s *Source) follow(ctx context.Context, client *workloadapi.Client) {
	for {
		_ = client.WatchX509Context(ctx, watcher{s, ctx}) // told to OnX509ContextWatchError
		timer := time.NewTimer(askAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// watcher is what the client of the API tells.
type watcher struct {
	*Source
	ctx context.Context
}

// OnX509ContextUpdate takes an answer of the API. One without a certificate of the part withdraws what there was.
func (s watcher) OnX509ContextUpdate(answer *workloadapi.X509Context) {
	m, err := s.read(answer)
	if err != nil {
		s.log.Error("the SPIFFE Workload API gives this part no certificate", slog.String("error", err.Error()))
	}
	s.now.Store(m)
	if m == nil {
		return
	}
	select {
	case <-s.first:
	default:
		close(s.first)
	}
}

// OnX509ContextWatchError is told that the API cannot be asked now. What it said last stays in use, as long as that is
// valid.
func (s watcher) OnX509ContextWatchError(err error) {
	if s.ctx.Err() != nil {
		return // it is not asked any more
	}
	s.log.Warn("the SPIFFE Workload API does not answer", slog.String("error", err.Error()))
}

func (s *Source) read(answer *workloadapi.X509Context) (*material, error) {
	own := s.pick(answer.SVIDs)
	if own == nil {
		return nil, fmt.Errorf("none of %d has the id %s", len(answer.SVIDs), s.ids.ID(s.part))
	}
	bundle, err := answer.Bundles.GetX509BundleForTrustDomain(s.domain)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of %s: %w", s.domain, err)
	}
	m := &material{bundle: bundle, authorities: x509.NewCertPool(), pair: &tls.Certificate{PrivateKey: own.PrivateKey, Leaf: own.Certificates[0]}}
	for _, cert := range own.Certificates {
		m.pair.Certificate = append(m.pair.Certificate, cert.Raw)
	}
	for _, authority := range bundle.X509Authorities() {
		m.authorities.AddCert(authority)
	}
	return m, nil
}

// pick chooses the part's own certificate, or none.
func (s *Source) pick(all []*x509svid.SVID) *x509svid.SVID {
	for _, svid := range all {
		if svid.ID.String() == s.ids.ID(s.part) {
			return svid
		}
	}
	return nil
}
