package balancing

import (
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc/resolver"
)

// List resolves a target that is a list of addresses. It is for one connection.
type List struct{ addresses []string }

const listScheme = "list"

// ParseList reads "a:1,b:2", and returns nil for a target of any other form.
func ParseList(target string) (*List, error) {
	if !strings.Contains(target, ",") || strings.Contains(target, "/") {
		return nil, nil
	}
	l := &List{}
	for one := range strings.SplitSeq(target, ",") {
		one = strings.TrimSpace(one)
		if host, port, err := net.SplitHostPort(one); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("%q is not an address with a port", one)
		}
		l.addresses = append(l.addresses, one)
	}
	return l, nil
}

// Target is what the connection is to be made to, with l among its resolvers.
func (l *List) Target() string { return listScheme + ":///" + strings.Join(l.addresses, ",") }

// Build tells the addresses, each with its own name for its certificate to prove.
func (l *List) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var state resolver.State
	for _, one := range l.addresses {
		address := resolver.Address{Addr: one, ServerName: one}
		state.Addresses = append(state.Addresses, address)
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
	}
	return unchanging{}, conn.UpdateState(state)
}

// Scheme is the one of the targets that [List.Target] returns.
func (l *List) Scheme() string { return listScheme }

// OverrideAuthority names the server for what asks before an address is chosen.
func (l *List) OverrideAuthority(resolver.Target) string { return l.addresses[0] }

// unchanging is a resolver that has said everything.
type unchanging struct{}

func (unchanging) ResolveNow(resolver.ResolveNowOptions) {}
func (unchanging) Close()                                {}
