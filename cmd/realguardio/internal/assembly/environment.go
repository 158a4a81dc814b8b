package assembly

import (
	"log/slog"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/issuers/issuerfile"
)

// Environment is what every part is told of where it runs: its place in the mesh, its stores, the time.
type Environment struct {
	Log *slog.Logger
	// Now tells the time.
	Now func() time.Time
	// DrainDelay is how long the part goes on serving after its shutdown began.
	DrainDelay time.Duration
	Traces     Traces
	// Limits bound what all callers of the part together may cost it, and MaxStreams those of one connection. Default: those of
	// [mesh.ServerConfig].
	Limits     mesh.Limits
	MaxStreams uint32

	// TLS is how the part proves itself to the others and knows them, unless SPIFFESocket says where to get that from.
	TLS mesh.TLSFiles
	// SPIFFESocket is the address of a SPIFFE Workload API; empty for none.
	SPIFFESocket string
	// WorkloadIDs is the form of the parts' SPIFFE ids.
	WorkloadIDs mesh.WorkloadIDs
	// Issuer is the identity provider's URL as it stands in tokens; IssuerCA the file with the authority of its
	// certificate, empty for the system's.
	Issuer, IssuerCA string
	// Trusted are issuers of others whose tokens are accepted besides.
	Trusted []issuerfile.Issuer
	// Secret is that of the part's own client, whose id is the part's name.
	Secret string
	Peers  Peers
	// Exchange has the parts that are called with exchanged tokens, which are for them alone, in place of the callers' own,
	// and the scopes that those may carry; none for [ScopesOf] the part.
	Exchange map[string][]string
	// OwnAudience has the part refuse tokens that are for the whole trust domain, and not for it by name.
	OwnAudience bool

	// DatabaseURL is empty for the gateway, which has no database.
	DatabaseURL, RedisURL string
	// Migrate brings the database up to date first.
	Migrate bool
}

// Peers are the gRPC addresses of the parts; a part uses those of the parts it calls.
type Peers struct{ Token, Customer, SecuritySystem, Notification string }
