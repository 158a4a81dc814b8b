// Package xds makes connections whose routes and addresses come from an xDS control plane.
//
// It is apart from package mesh because grpc's xDS client links the whole of Envoy's interfaces. A control plane says
// where calls go, and never whom to trust: TLS, identities and tokens stay those of [mesh.DialConfig], whatever security
// it announces.
package xds

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/xds" // registers the scheme, the balancers and the filters that a control plane may name

	"github.com/realguardio/realguardio/mesh"
)

// Variables say where the control plane is, as for every client of grpc: the path of a bootstrap file, or its content.
const (
	BootstrapVariable       = "GRPC_XDS_BOOTSTRAP"
	BootstrapConfigVariable = "GRPC_XDS_BOOTSTRAP_CONFIG"
)

// Scheme begins the targets that this package is for.
const Scheme = "xds:"

// Dial is [mesh.Dial] for a target such as "xds:///customer". The server's certificate has to have that name, unless the
// TLS of cfg demands another, or a SPIFFE id. The control plane decides what is tried again, and how calls are spread;
// deadlines are those of cfg.
func Dial(cfg mesh.DialConfig) (*grpc.ClientConn, error) {
	switch {
	case !strings.HasPrefix(cfg.Target, Scheme):
		return nil, fmt.Errorf("xds: dial %s: the target does not begin with %s", cfg.Target, Scheme)
	case os.Getenv(BootstrapVariable) == "" && os.Getenv(BootstrapConfigVariable) == "":
		return nil, fmt.Errorf("xds: dial %s: %w", cfg.Target, errNoBootstrap)
	}
	return mesh.Dial(cfg)
}

var errNoBootstrap = errors.New("neither " + BootstrapVariable + " nor " + BootstrapConfigVariable + " says where the control plane is")
