package cli

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/dev"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

func newDev(w World) *cobra.Command {
	log := logging{Level: "error", Format: "text"}
	cfg := dev.Config{DataDir: ".realguardio", Program: w.Args[0], Stdout: w.Stdout, Now: time.Now}
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, with demo data",
		Long: `Run every part in one process on embedded stores, with the demo's customers, people and systems, and print how to get
in. Everything listens on loopback only. The parts talk as they do in production: over mutual TLS, with certificates of
an authority that lives in the data folder.

The data folder survives restarts, and with it accounts, keys and systems. Secrets of the demo are in its demo.json.`,
		Example: `  realguardio dev
  realguardio dev --ephemeral --random-ports --ready-file ready.json`,
	}
	var upstreams upstreamProviders
	var traces traceFlags
	var trusted trustedIssuers
	var signIn signInFlags
	declare := func(s *settings.Set) {
		log.declare(s)
		traces.declare(s)
		upstreams.declare(s, new(bool))
		trusted.declare(s, new(bool))
		signIn.declare(s, &trusted)
		s.String(&cfg.DataDir, "data-dir", "folder for everything that survives a restart", settings.Required)
		s.Bool(&cfg.Ephemeral, "ephemeral", "keep nothing: use a temporary data folder")
		s.Bool(&cfg.RandomPorts, "random-ports", "listen on free ports instead of the usual ones")
		s.Bool(&cfg.TLS, "tls", "https for the gateway and the issuer, by the data folder's authority")
		declareNonces(s, &cfg.DPoPNonces)
		s.Bool(&cfg.NoDemo, "no-demo", "no demo data")
		s.String(&cfg.RedisURL, "redis-url", "a real Redis instead of the embedded one", redisURL)
		s.String(&cfg.PostgresURL, "postgres-url", "a real PostgreSQL instead of SQLite; each part gets a schema", postgresURL)
		s.String(&cfg.ReadyFile, "ready-file", "JSON file written once everything is ready, removed at the end")
	}
	return command(w, c, "dev", declare, func(c *cobra.Command, _ []string) error {
		var err error
		if cfg.Log, err = log.logger(c.ErrOrStderr()); err != nil {
			return err
		}
		assembly.LogRedis(cfg.Log)
		assembly.LogTraces(cfg.Log)
		cfg.Traces = traces.config(w.Environ)
		cfg.Upstreams, cfg.Trusted, cfg.SignIn = upstreams.list, trusted.list, signIn.made
		if cfg.ReadyFile != "" {
			if cfg.ReadyFile, err = filepath.Abs(cfg.ReadyFile); err != nil {
				return err
			}
		}
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(devMemory)
		}
		return dev.Run(c.Context(), cfg)
	})
}

// devMemory is what development aims to stay below, in bytes: hashing passwords takes 19 MiB each time, which the
// runtime would else keep.
const devMemory = 80 << 20
