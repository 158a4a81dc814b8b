package assembly

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/ops"
	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/services/database"
)

// openDatabase opens the part's database and, where env says so, has migrate bring it up to date.
func (p *Part) openDatabase(ctx context.Context, env Environment, migrate func(context.Context, *database.DB) error) (*database.DB, error) {
	db, err := database.Open(ctx, env.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the database of %s: %w", p.Name, err)
	}
	p.onClose(db.Close)
	if env.Migrate {
		if err := migrate(ctx, db); err != nil {
			return nil, fmt.Errorf("cannot prepare the database of %s: %w", p.Name, err)
		}
	} else if err := database.CheckOwner(ctx, db, p.Name); err != nil {
		return nil, fmt.Errorf("cannot use the database of %s: %w", p.Name, err)
	}
	p.Ops.Add(ops.Check{Name: "database", Run: db.Ping})
	return db, nil
}

// openRedis returns a client; it connects when first used. required says that the part cannot work without Redis.
func (p *Part) openRedis(rawURL string, required bool) (*redis.Client, error) {
	options, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errors.New("the Redis URL must be redis://[user:password@]host:port[/database] or rediss://...") // not err: it may hold the password
	}
	client := redis.NewClient(vault.Bounded(options))
	p.onClose(client.Close)
	check := ops.Check{Name: "redis", Run: func(ctx context.Context) error {
		if err := client.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("cannot reach Redis at %s: %w", options.Addr, reason(err))
		}
		return nil
	}}
	if !required {
		check = ops.Once(check)
	}
	p.Ops.Add(check)
	return client, nil
}

// CheckDatabaseURL refuses the embedded store and connections that can be overheard, unless told otherwise. It never
// repeats the URL, which may hold a password.
func CheckDatabaseURL(rawURL string, allowEmbedded, allowPlaintext bool) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return errors.New("is not a URL")
	}
	switch u.Scheme {
	case "sqlite":
		if !allowEmbedded {
			return errors.New("names SQLite, which one process alone can use: give a postgres:// URL, or --insecure-embedded-store for a trial")
		}
		return nil
	case "postgres", "postgresql":
	default:
		return errors.New("must start with postgres:// (or sqlite:///)")
	}
	mode := u.Query().Get("sslmode")
	encrypted := slices.Contains([]string{"require", "verify-ca", "verify-full"}, mode)
	if !encrypted && !local(u) && !allowPlaintext {
		return errors.New("has no sslmode=verify-full, verify-ca or require: passwords and data would travel in plaintext (--insecure-plaintext-stores allows it)")
	}
	return nil
}

// CheckRedisURL refuses a connection that can be overheard, unless told otherwise.
func CheckRedisURL(rawURL string, allowPlaintext bool) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return errors.New("must be redis://[user:password@]host:port[/database] or rediss://...")
	}
	if u.Scheme == "redis" && !local(u) && !allowPlaintext {
		return errors.New("is not rediss://: sessions would travel in plaintext (--insecure-plaintext-stores allows it)")
	}
	return nil
}

// local reports whether a store is reached without leaving the machine: by a socket file or a loopback address.
func local(u *url.URL) bool {
	host := u.Hostname()
	if host == "" {
		host = u.Query().Get("host")
	}
	if host == "localhost" || strings.HasPrefix(host, "/") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
