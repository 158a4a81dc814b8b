package mesh

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A token is by far the longest header of a call, and the compression of HTTP/2 has room for five of them: with more
// callers than that, a call carries its token anew, at a fifth of what the call costs otherwise. So a workload names a
// token that its peer has seen on this very connection by a digest of it.
//
// A reference is no credential. It stands for nothing on another connection, only a workload of the trust domain has any,
// and the token behind it is verified at every call as if it had been sent. It is made of the token itself, so that no
// order of events can make it stand for another.
const (
	// refKey asks the server to keep the token of this call (keepRef), and tells the client that it does (keptRef).
	refKey  = "mesh-token-ref"
	keepRef = "keep"
	keptRef = "kept"
	// refScheme is the scheme of an authorization that is a reference.
	refScheme = "MeshRef"

	// maxKept is how many tokens a server keeps for a connection: the last ones, at about 1 KB each.
	maxKept = 16 << 10
	// maxNamed is how many of them the client names. It is less by more than the calls that one connection may have under
	// way, so that the server still keeps whatever the client names: what it forgot and sends again is young again at both.
	maxNamed = maxKept - 2048
	// maxAsked is how many calls may go unanswered before the client takes it that its peer keeps no tokens.
	maxAsked = 64
)

// refOf is the reference of a token: 144 bits of its SHA-256.
func refOf(token string) string {
	digest := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(digest[:18])
}

// recent is a set of the last n strings that were put in, each with a value. One that is put in again is young again.
type recent[V any] struct {
	of    map[string]*list.Element // of *valued[V]
	order list.List                // the youngest first
	limit int
}

type valued[V any] struct {
	key string
	v   V
}

func newRecent[V any](limit int) recent[V] {
	return recent[V]{of: map[string]*list.Element{}, limit: limit}
}

func (r *recent[V]) put(key string, v V) {
	if there := r.of[key]; there != nil {
		there.Value.(*valued[V]).v = v
		r.order.MoveToFront(there)
		return
	}
	if len(r.of) == r.limit {
		delete(r.of, r.order.Remove(r.order.Back()).(*valued[V]).key)
	}
	r.of[key] = r.order.PushFront(&valued[V]{key, v})
}

func (r *recent[V]) get(key string) (v V, ok bool) {
	there := r.of[key]
	if there == nil {
		return v, false
	}
	return there.Value.(*valued[V]).v, true
}

// keptTokens are the tokens that one client has sent over one connection, by their references.
type keptTokens struct {
	mu     sync.RWMutex
	tokens recent[string]
}

func (k *keptTokens) keep(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tokens.of == nil {
		k.tokens = newRecent[string](maxKept)
	}
	k.tokens.put(refOf(token), token)
}

func (k *keptTokens) token(ref string) (string, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.tokens.get(ref)
}

// referred returns the token that an authorization names; "" where it is not of that scheme.
func referred(ctx context.Context, authorization string) (token string, err error) {
	ref, ok := strings.CutPrefix(authorization, refScheme+" ")
	if !ok {
		return "", nil
	}
	if c := authInfoOf(ctx); c != nil {
		if token, ok := c.kept.token(ref); ok {
			return token, nil
		}
	}
	return "", because("unknown_token_ref", Unauthenticated(reasonUnknownRef))
}

// reasonUnknownRef tells the client of a connection to send the token.
const reasonUnknownRef = "TOKEN_REF_UNKNOWN"

// keep keeps the token of an admitted call where its caller asks for it and is a workload. An edge that takes other
// credentials keeps none: what it verifies is not what it was sent.
func (g *guard) keep(ctx context.Context, token string) {
	c := authInfoOf(ctx)
	if g.edge || c == nil || c.workload == "" || single(ctx, refKey) != keepRef {
		return
	}
	c.kept.keep(token)
	// In the trailer: a client does not try again what it has got a header for. It fails only outside of a call.
	_ = grpc.SetTrailer(ctx, metadata.MD{refKey: {keptRef}})
}

// sentToken is a token that was sent over a connection.
type sentToken struct {
	// reference is the metadata that names it.
	reference map[string]string
	// kept becomes true when the server is known to keep it.
	kept atomic.Bool
}

// sentTokens are the tokens that were sent over one connection.
type sentTokens struct {
	mu     sync.RWMutex
	tokens recent[*sentToken]
	// asked counts the calls that the server was asked in to keep a token, until it says for the first time that it does.
	asked atomic.Int32
	// off is set where the server keeps none, or somebody in between sends the calls of one connection over several.
	off atomic.Bool
}

// authorize returns the metadata that a call carries its token in.
func (s *sentTokens) authorize(token string) (_ map[string]string, asked *sentToken) {
	if s.off.Load() {
		return bearerOf(token), nil
	}
	s.mu.RLock()
	known, _ := s.tokens.get(token)
	s.mu.RUnlock()
	if known != nil && known.kept.Load() {
		return known.reference, nil
	}
	if known == nil {
		known = s.add(token)
	}
	md := bearerOf(token)
	md[refKey] = keepRef
	return md, known
}

func (s *sentTokens) add(token string) *sentToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, there := s.tokens.get(token)
	if !there {
		known = &sentToken{reference: map[string]string{authorizationKey: refScheme + " " + refOf(token)}}
		s.tokens.put(token, known)
	}
	return known
}

// answered is told whether the server has said that it keeps a token that it was asked to keep.
func (s *sentTokens) answered(asked *sentToken, kept bool) {
	switch {
	case kept:
		asked.kept.Store(true)
		s.asked.Store(-1)
	case s.asked.Load() >= 0 && s.asked.Add(1) > maxAsked:
		s.off.Store(true)
	}
}

func bearerOf(token string) map[string]string {
	return map[string]string{authorizationKey: "Bearer " + token}
}

// attempt is a call under way: its token, which workloads it came through, and what was last made of it.
type attempt struct {
	token   string
	via     string
	trailer metadata.MD
	// plain is set for a call that is made again because of a reference, by whatever connection.
	plain atomic.Bool
	sent  atomic.Pointer[sentTokens]
	asked atomic.Pointer[sentToken]
}

type attemptKey struct{}

// tokenCredentials put the token of the attempt in the call's context on the connection that it goes by.
type tokenCredentials struct{}

func (tokenCredentials) RequireTransportSecurity() bool { return true }

func (tokenCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		return nil, nil
	}
	info, _ := credentials.RequestInfoFromContext(ctx)
	c, ok := info.AuthInfo.(*authInfo)
	switch {
	case !ok:
		return bearerOf(a.token), nil
	case a.plain.Load():
		return c.telling(a.via, bearerOf(a.token)), nil
	}
	md, asked := c.sent.authorize(a.token)
	a.sent.Store(c.sent)
	a.asked.Store(asked)
	return c.telling(a.via, md), nil
}

// telling adds to the metadata of a call which workloads it came through, where it goes to a workload.
func (c *authInfo) telling(via string, md map[string]string) map[string]string {
	if via == "" || c.workload == "" {
		return md
	}
	told := make(map[string]string, len(md)+1)
	maps.Copy(told, md)
	told[viaKey] = via
	return told
}

// learn takes note of what the answer says about the token. It reports whether the server did not know a reference, and
// so has not begun the call: it may be made again, with the token itself.
func (a *attempt) learn(err error) (unknown bool) {
	sent := a.sent.Load()
	if sent == nil {
		return false
	}
	if asked := a.asked.Load(); asked != nil {
		kept := len(a.trailer[refKey]) > 0
		if kept || err == nil || errors.Is(err, io.EOF) { // of a call that was refused no token is kept anywhere
			sent.answered(asked, kept)
		}
		return false
	}
	if status.Code(err) == codes.Unauthenticated && Reason(err) == reasonUnknownRef {
		sent.off.Store(true)
		a.plain.Store(true)
		return true
	}
	return false
}
