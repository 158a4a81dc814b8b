package cli

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/spiffe"
)

// partNames lists the parts that can be served.
var partNames = assembly.Names

// defaultListen is where each part listens, and is looked for, unless told otherwise.
var defaultListen = map[string]assembly.Addresses{
	assembly.Token:          {GRPC: ":9100", HTTP: ":9000", Ops: ":9190"},
	assembly.Customer:       {GRPC: ":9101", Ops: ":9191"},
	assembly.SecuritySystem: {GRPC: ":9102", Ops: ":9192"},
	assembly.Notification:   {GRPC: ":9103", Ops: ":9193"},
	assembly.Gateway:        {GRPC: ":8090", HTTP: ":8080", Ops: ":8091"},
}

// partFlags are the settings that parts share.
type partFlags struct {
	part   string
	log    logging
	listen assembly.Addresses
	drain  time.Duration
	traces traceFlags
	limits limitFlags

	tls mesh.TLSFiles
	// announced is the Workload API that the environment names.
	spiffeSocket, announced string
	workloadID              string
	workloadIDs             mesh.WorkloadIDs
	issuer, issuerCA        string
	trusted                 trustedIssuers
	secret                  secretFile
	peers                   assembly.Peers
	database, redis         storeURL
	insecureEmbedded        bool
	insecurePlainStores     bool
	insecurePlaintext       bool
	publicCert, publicKey   string
	migrate                 bool
	exchange                []string
	exchanged               map[string][]string
	ownAudience             bool
}

// secretFile is a setting that names a file, and what is in the file.
type secretFile struct{ file, value string }

func (f *secretFile) declare(s *settings.Set, name, usage string) {
	s.String(&f.file, name, usage, settings.Required)
	s.Rule(func() error {
		if f.file == "" {
			return nil // said by Required
		}
		var err error
		if f.value, err = settings.Secret(f.file); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
		return nil
	})
}

// keyFile is the same for a key.
type keyFile struct {
	file string
	key  []byte
}

func (f *keyFile) declare(s *settings.Set, name, usage string) {
	s.String(&f.file, name, usage+", made by realguardio keys generate", settings.Required)
	s.Rule(func() error {
		if f.file == "" {
			return nil
		}
		var err error
		if f.key, err = keyfile.Read(f.file); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
		return nil
	})
}

// storeURL is where a store is, given as it is or in a file, since it may hold a password.
type storeURL struct{ url, file string }

func (u *storeURL) declare(s *settings.Set, name, usage string, check func(string) error) {
	s.String(&u.url, name, usage)
	s.String(&u.file, name+"-file", "file with --"+name+", which may hold a password", settings.File)
	s.Rule(func() error {
		switch {
		case u.url != "" && u.file != "":
			return fmt.Errorf("--%s and --%s-file exclude each other", name, name)
		case u.file != "":
			var err error
			if u.url, err = settings.Secret(u.file); err != nil {
				return fmt.Errorf("--%s-file: %w", name, err)
			}
		case u.url == "":
			return fmt.Errorf("--%s or --%s-file is required", name, name)
		}
		if err := check(u.url); err != nil {
			return fmt.Errorf("--%s: the URL %w", name, err)
		}
		return nil
	})
}

func (p *partFlags) declare(s *settings.Set, defaults assembly.Addresses) {
	p.listen, p.migrate, p.workloadID = defaults, true, mesh.WorkloadID
	p.log.declare(s)
	p.traces.declare(s)
	p.limits.declare(s)
	s.String(&p.listen.GRPC, "grpc-listen", "address for gRPC", settings.Required, settings.Address)
	if defaults.HTTP != "" {
		s.String(&p.listen.HTTP, "http-listen", "address for HTTP", settings.Required, settings.Address)
	}
	s.String(&p.listen.Ops, "ops-listen", "address for /healthz, /readyz and /metrics; not for the outside", settings.Required, settings.Address)
	s.Duration(&p.drain, "drain-delay", "how long to go on serving after shutdown began and /readyz says so")
	s.String(&p.tls.CA, "mesh-ca-file", "authority that the certificates of the other parts come from", settings.File, authorities)
	s.String(&p.tls.Cert, "mesh-cert-file", "this part's certificate, whose URI is its SPIFFE id", settings.File)
	s.String(&p.tls.Key, "mesh-key-file", "its private key", settings.File)
	s.String(&p.spiffeSocket, "spiffe-socket", "SPIFFE Workload API that gives all three instead, such as unix:///run/spire/agent.sock (default, where no file is given: $"+spiffe.SocketVariable+")")
	s.Rule(p.checkProof)
	s.String(&p.workloadID, "workload-id", "form of the SPIFFE ids of the parts, in which {part} stands for the name", settings.Required)
	s.Rule(p.readWorkloadIDs)
	s.String(&p.issuer, "issuer", "URL of the identity provider, as it stands in tokens", settings.Required, settings.HTTPURL)
	s.String(&p.issuerCA, "issuer-ca-file", "authority of the issuer's https certificate (default: the system's)", settings.File, authorities)
	s.Bool(&p.insecurePlaintext, "insecure-plaintext", "allow http, where a proxy on the same machine terminates TLS, or for a trial on one machine: everybody on the way can read tokens")
	p.trusted.declare(s, &p.insecurePlaintext)
	s.Rule(p.checkIssuer)
	s.Rule(p.checkMembership)
}

// checkProof wants files or a Workload API, and not both: what others know this part by must not depend on which is there.
func (p *partFlags) checkProof() error {
	files := []struct{ name, file string }{{"mesh-ca-file", p.tls.CA}, {"mesh-cert-file", p.tls.Cert}, {"mesh-key-file", p.tls.Key}}
	given := slices.ContainsFunc(files, func(f struct{ name, file string }) bool { return f.file != "" })
	if p.spiffeSocket == "" && !given {
		p.spiffeSocket = p.announced
	}
	if p.spiffeSocket != "" {
		if given {
			return errors.New("--spiffe-socket and --mesh-ca-file, --mesh-cert-file, --mesh-key-file exclude each other")
		}
		if err := spiffe.CheckSocket(p.spiffeSocket); err != nil {
			return fmt.Errorf("--spiffe-socket: %w", err)
		}
		return nil
	}
	var missing []error
	for _, f := range files {
		if f.file == "" {
			missing = append(missing, fmt.Errorf("--%s is required", f.name))
		}
	}
	return errors.Join(missing...)
}

func (p *partFlags) readWorkloadIDs() (err error) {
	if p.workloadIDs, err = mesh.ParseWorkloadIDs(p.workloadID); err != nil {
		return fmt.Errorf("--workload-id: %w", err)
	}
	return nil
}

func (p *partFlags) checkIssuer() error {
	if len(p.issuer) > 5 && p.issuer[:5] == "http:" && !p.insecurePlaintext {
		return errors.New("--issuer is not https: keys and tokens would travel in plaintext (--insecure-plaintext allows it)")
	}
	return nil
}

// declareWorkload adds the part's own credentials at the issuer.
func (p *partFlags) declareWorkload(s *settings.Set) {
	p.secret.declare(s, "client-secret-file", "secret of this part's own client "+p.part+", made by realguardio setup")
}

// declareExchange lets a part that calls others for its callers do so by tokens that are for those parts alone.
func (p *partFlags) declareExchange(s *settings.Set, parts ...string) {
	s.Strings(&p.exchange, "exchange", "parts to call with tokens that are for them alone, in place of the callers' own: PART, or PART=SCOPE+SCOPE to choose what those may carry. Of: "+strings.Join(parts, ", "))
	s.Rule(func() error {
		p.exchanged = map[string][]string{}
		for _, one := range p.exchange {
			part, list, chosen := strings.Cut(one, "=")
			scopes := strings.Split(list, "+")
			switch _, twice := p.exchanged[part]; {
			case !slices.Contains(parts, part):
				return fmt.Errorf("--exchange: %q is none of %s", part, strings.Join(parts, ", "))
			case twice:
				return fmt.Errorf("--exchange: %s stands there twice", part)
			case !chosen:
				scopes = nil
			case slices.Contains(scopes, "") || strings.ContainsAny(list, " \t"):
				return fmt.Errorf("--exchange: %q does not name scopes after the equals sign", one)
			}
			p.exchanged[part] = scopes
		}
		return nil
	})
}

// declareOwnAudience lets a part refuse tokens that are for all of them.
func (p *partFlags) declareOwnAudience(s *settings.Set) {
	s.Bool(&p.ownAudience, "own-audience", "refuse tokens that are not for this part by name: whoever calls it has to be told --exchange "+p.part)
}

// declareDatabase adds the part's database.
func (p *partFlags) declareDatabase(s *settings.Set) {
	p.database.declare(s, "database-url", "postgres://user@host/database?schema="+cmp.Or(p.part, "PART")+"&sslmode=verify-full", func(url string) error {
		return assembly.CheckDatabaseURL(url, p.insecureEmbedded, p.insecurePlainStores)
	})
	s.Bool(&p.migrate, "migrate", "bring the database up to date at the start; replicas take turns")
	s.Bool(&p.insecureEmbedded, "insecure-embedded-store", "allow SQLite (sqlite:///absolute/path.db), which one process alone can use")
}

// declareRedis adds Redis.
func (p *partFlags) declareRedis(s *settings.Set) {
	p.redis.declare(s, "redis-url", "redis[s]://user:password@host:port/database", func(url string) error {
		return assembly.CheckRedisURL(url, p.insecurePlainStores)
	})
	s.Bool(&p.insecurePlainStores, "insecure-plaintext-stores", "allow PostgreSQL and Redis on other machines without TLS")
}

// declarePeer adds the address of another part.
func (p *partFlags) declarePeer(s *settings.Set, part string) {
	address := map[string]*string{
		assembly.Token: &p.peers.Token, assembly.Customer: &p.peers.Customer,
		assembly.SecuritySystem: &p.peers.SecuritySystem, assembly.Notification: &p.peers.Notification,
	}[part]
	*address = "localhost" + defaultListen[part].GRPC
	s.String(address, part+"-address", "gRPC address of the part "+part, settings.Required)
}

// declarePublicTLS adds the certificate that the outside sees.
func (p *partFlags) declarePublicTLS(s *settings.Set) {
	s.String(&p.publicCert, "public-cert-file", "certificate for the outside", settings.File)
	s.String(&p.publicKey, "public-key-file", "its private key", settings.File)
	s.Rule(func() error {
		switch {
		case (p.publicCert == "") != (p.publicKey == ""):
			return errors.New("--public-cert-file and --public-key-file belong together")
		case p.publicCert == "" && !p.insecurePlaintext:
			return errors.New("--public-cert-file and --public-key-file are required: without them passwords and tokens would travel in plaintext (--insecure-plaintext allows it)")
		}
		_, err := certificate{"public-cert-file", p.publicCert, "public-key-file", p.publicKey}.load()
		return err
	})
}

// environment is what the flags say of any part.
func (p *partFlags) environment(log *slog.Logger, environ []string) assembly.Environment {
	return assembly.Environment{
		Log: log, Now: time.Now, DrainDelay: p.drain, TLS: p.tls, SPIFFESocket: p.spiffeSocket, WorkloadIDs: p.workloadIDs, Issuer: p.issuer, IssuerCA: p.issuerCA, Trusted: p.trusted.list, Secret: p.secret.value,
		Peers: p.peers, Exchange: p.exchanged, OwnAudience: p.ownAudience, DatabaseURL: p.database.url, RedisURL: p.redis.url, Migrate: p.migrate,
		Traces: p.traces.config(environ), Limits: p.limits.server, MaxStreams: uint32(p.limits.each),
	}
}

// publicTLS is the certificate for the outside, nil for none. It is read again when its files change.
func (p *partFlags) publicTLS() (*tls.Config, error) {
	if p.publicCert == "" {
		return nil, nil
	}
	return assembly.PublicTLS(p.publicCert, p.publicKey)
}

// redisURL and postgresURL check the stores of development, which may be reached in plaintext.
func redisURL(url string) error {
	if url == "" {
		return nil
	}
	return assembly.CheckRedisURL(url, true)
}

func postgresURL(url string) error {
	if url == "" {
		return nil
	}
	if strings.HasPrefix(url, "sqlite:") {
		return errors.New("must start with postgres://")
	}
	return assembly.CheckDatabaseURL(url, false, true)
}
