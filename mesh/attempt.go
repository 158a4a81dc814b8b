package mesh

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

// attempt is a call under way: its token, which workloads and what client it came from, and what was last made of it.
type attempt struct {
	carried
	via, client string
	// over is what the connection has shown that bound was got for, and got what that gave.
	over atomic.Pointer[shown]
	got  atomic.Pointer[traded]

	// sent are the tokens of the connection that it went by. asked is what authorize gave, and trailer has the answer to it.
	sent    atomic.Pointer[sentTokens]
	asked   atomic.Uint64
	trailer metadata.MD
	// plain is set for a call that is made again because of a reference, by whatever connection.
	plain atomic.Bool
}

type attemptKey struct{}

// tokenOn is the token for a connection.
func (a *attempt) tokenOn(ctx context.Context, c *authInfo) (string, error) {
	if a.bound == nil {
		return a.token, nil
	}
	a.got.Store(nil)
	var own *shown
	if c != nil {
		own = c.own
	}
	got, err := a.bound.over(ctx, own)
	if err != nil {
		return "", err
	}
	a.over.Store(own)
	a.got.Store(got)
	return got.token, nil
}

// lastToken is the token with which the call went last; empty where it never had any.
func (a *attempt) lastToken() string {
	if a == nil {
		return ""
	}
	if got := a.got.Load(); got != nil {
		return got.token
	}
	return a.token
}

// tokenCredentials put the token of the attempt in the call's context on the connection that it goes by.
type tokenCredentials struct{}

func (tokenCredentials) RequireTransportSecurity() bool { return true }

func (tokenCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		return nil, nil
	}
	info, _ := credentials.RequestInfoFromContext(ctx)
	c, _ := info.AuthInfo.(*authInfo)
	token, err := a.tokenOn(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return bearerOf(token), nil
	case a.plain.Load():
		return c.telling(a, bearerOf(token)), nil
	}
	md, asked := c.sent.authorize(token)
	a.sent.Store(c.sent)
	a.asked.Store(asked)
	return c.telling(a, md), nil
}

// telling adds to the metadata of a call which workloads and what client it came from, where it goes to a workload.
func (c *authInfo) telling(a *attempt, md map[string]string) map[string]string {
	if c.workload == "" {
		return md
	}
	if a.via != "" {
		md[viaKey] = a.via
	}
	if a.client != "" {
		md[clientKey] = a.client
	}
	return md
}
