package mesh

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// A part knows by certificate which workload has called it. Which workloads stood before that one, only they can say: so each
// tells the next whom it was called by, and what that had told it. It is for the record, and nothing is decided by it.
//
// What a workload says is believed as far as the workload is. It cannot leave itself out: its name is the next part's own view
// of the connection. What anybody else says is not looked at, and what is said goes to no other than workloads.
const (
	// viaKey has the names of workloads with a space between, the last one first. There is none where there is nothing to say.
	viaKey = "mesh-via"
	// maxVia is how many workloads a call may come through, the peer included, and maxSaid how many bytes those have that the
	// peer names. Parts that call each other in a circle come to an end by it.
	maxVia  = 16
	maxSaid = 400
)

// way is which workloads an RPC came through.
type way struct {
	// peer is the one that called, by its certificate; empty where the peer is none.
	peer string
	// said is what it says of those before it, as in metadata.
	said string
}

// Via returns the workloads that the RPC of ctx came through, the last one first; none outside of an RPC and where the peer is
// no workload. The first is proven by its certificate ([PeerWorkload]). Each of the others is named by the one before it in the
// list, and proven to that one alone: it is as true as those are trusted. It is for the record.
func Via(ctx context.Context) []string {
	c := callFrom(ctx)
	if c == nil || c.way.peer == "" {
		return nil
	}
	return append([]string{c.way.peer}, strings.Fields(c.way.said)...)
}

// PeerWorkload returns the name of the workload that the RPC of ctx came from, by its certificate; empty outside of one and
// where the peer is none. It is for the record: whose call it is, is said by the token, see [FromContext].
func PeerWorkload(ctx context.Context) string {
	if c := callFrom(ctx); c != nil {
		return c.way.peer
	}
	return ""
}

// wayOf reads which workloads a call came through. One that says it wrongly is refused: it is a fault to be found.
func wayOf(ctx context.Context) (way, error) {
	info := authInfoOf(ctx)
	if info == nil || info.workload == "" {
		return way{}, nil
	}
	w := way{peer: info.workload}
	values := metadata.ValueFromIncomingContext(ctx, viaKey)
	switch {
	case len(values) == 0:
	case len(values) > 1 || !sayable(values[0]):
		return w, because("bad_via", refuse(codes.InvalidArgument, ReasonMalformedMessage, "it cannot be read which parts the call came through", nil))
	default:
		w.said = values[0]
	}
	return w, nil
}

// sayable reports whether a peer may say this of those before it.
func sayable(said string) bool {
	names := strings.Split(said[:min(len(said), maxSaid+1)], " ")
	return len(said) <= maxSaid && len(names) < maxVia && !slices.ContainsFunc(names, func(name string) bool { return !isSegment(name) })
}

var errTooFar = errors.New("it came through too many parts already; they may be calling each other in a circle")

// onward is what a part says when it calls on.
func (w way) onward() (said string, err error) {
	switch {
	case w.peer == "":
		return "", nil
	case w.said == "":
		said = w.peer
	default:
		said = w.peer + " " + w.said
	}
	if len(said) > maxSaid || strings.Count(said, " ")+1 >= maxVia {
		return "", errTooFar
	}
	return said, nil
}
