package assembly

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/spiffe"
)

// workloadAPIWithin is how long a part waits for its first certificate.
const workloadAPIWithin = 30 * time.Second

// proof is how a part proves itself to the others and knows them: by files, or by a SPIFFE Workload API.
type proof interface {
	Server() (*tls.Config, error)
	// To is towards one part.
	To(part string) mesh.TLSSource
}

// fileProof is the same towards every part: they know it by the name dialled.
type fileProof struct{ mesh.TLSFiles }

func (f fileProof) To(string) mesh.TLSSource { return f.TLSFiles }

func (p *Part) prove(ctx context.Context, env Environment) (proof, error) {
	if env.SPIFFESocket == "" {
		files := env.TLS
		files.Logger = p.log
		return fileProof{files}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, workloadAPIWithin)
	defer cancel()
	source, err := spiffe.New(ctx, spiffe.Config{Part: p.Name, WorkloadIDs: env.WorkloadIDs, Socket: env.SPIFFESocket, Logger: p.log})
	if err != nil {
		return nil, fmt.Errorf("cannot get the certificate of %s: %w", p.Name, err)
	}
	p.onClose(source.Close)
	return source, nil
}
