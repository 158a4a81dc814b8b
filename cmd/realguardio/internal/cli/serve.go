package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh/spiffe"
)

func newServe(w World) *cobra.Command {
	serve := &cobra.Command{
		Use:   "serve",
		Short: "Run one part of a production installation",
		Long: `Run one part. The parts find each other by address and know each other by certificate (mutual TLS); each has a client
of its own at the identity provider, made by ` + "`realguardio setup`" + `. They can be started in any order: a part waits for the other parts and for Redis, and
/readyz on its operations port says for which. Its database has to be there: without it a part ends at once with exit
code 1, to be started again.

  part             gRPC   HTTP   operations
  token            9100   9000   9190         the identity provider
  customer         9101          9191
  securitysystem   9102          9192
  notification     9103          9193
  gateway          8090   8080   8091         what the outside reaches

A part refuses embedded stores, plaintext and the demo's secrets unless an --insecure-... flag says otherwise. It drains
on SIGTERM: /readyz answers 503, then running requests end, then the process.`,
	}
	for _, one := range servedParts() {
		serve.AddCommand(newServePart(w, one))
	}
	return serve
}

// served is one line of the list of parts.
type served struct {
	part, short string
	// database and public say that the part has a database, and HTTP for the outside.
	database, public bool
	// calls are the parts that it calls, onward those of them that it calls on behalf of its callers.
	calls, onward []string
	own           ownFlags
}

// ownFlags are the settings that one part alone has. With those that it shares they make the part.
type ownFlags interface {
	declare(s *settings.Set, p *partFlags)
	build(ctx context.Context, p *partFlags, env assembly.Environment, l assembly.Listeners) (*assembly.Part, error)
}

func servedParts() []served {
	return []served{
		{
			part: assembly.Token, short: "The identity provider: accounts, clients, tokens", database: true, public: true,
			calls: []string{assembly.Token}, own: &tokenFlags{},
		},
		{
			part: assembly.Customer, short: "Customers, locations, employees, teams and grants", database: true,
			calls: []string{assembly.Token, assembly.SecuritySystem}, own: noFlags(assembly.NewCustomer),
		},
		{
			part: assembly.SecuritySystem, short: "Security systems, their state and their timeline", database: true,
			calls: []string{assembly.Token, assembly.Customer}, onward: []string{assembly.Customer}, own: noFlags(assembly.NewSecuritySystem),
		},
		{
			part: assembly.Notification, short: "Messages to people about what happened", database: true,
			calls: []string{assembly.Token, assembly.Customer}, own: &notificationFlags{},
		},
		{
			part: assembly.Gateway, short: "What browsers, API clients and native gRPC clients reach", public: true,
			calls:  []string{assembly.Token, assembly.Customer, assembly.SecuritySystem, assembly.Notification},
			onward: []string{assembly.Token, assembly.Customer, assembly.SecuritySystem, assembly.Notification}, own: &gatewayFlags{},
		},
	}
}

// newServePart makes the command that listens, builds a part and runs it until the context ends.
func newServePart(w World, one served) *cobra.Command {
	p := &partFlags{part: one.part, announced: w.variable(spiffe.SocketVariable)}
	declare := func(s *settings.Set) {
		p.declare(s, defaultListen[one.part])
		p.declareWorkload(s)
		if one.database {
			p.declareDatabase(s)
		}
		p.declareRedis(s)
		if one.public {
			p.declarePublicTLS(s)
		}
		for _, peer := range one.calls {
			p.declarePeer(s, peer)
		}
		if len(one.onward) > 0 {
			p.declareExchange(s, one.onward...)
		}
		if one.part != assembly.Gateway {
			p.declareOwnAudience(s)
		}
		one.own.declare(s, p)
	}
	return command(w, &cobra.Command{Use: one.part, Short: one.short}, one.part, declare, func(c *cobra.Command, _ []string) error {
		log, err := p.log.logger(c.ErrOrStderr())
		if err != nil {
			return err
		}
		assembly.LogRedis(log.With("part", one.part))
		assembly.LogTraces(log.With("part", one.part))
		listeners, err := assembly.Listen(p.listen)
		if err != nil {
			return err
		}
		defer listeners.Close()
		part, err := one.own.build(c.Context(), p, p.environment(log, w.Environ), listeners)
		if err != nil {
			return err
		}
		log.Info("serving", "part", one.part, "version", version())
		return part.Run(c.Context())
	})
}
