package mesh

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash/maphash"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh/internal/recent"
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

// tokenRef names a token: 144 bits of its SHA-256, in base64url.
type tokenRef [24]byte

func refOf(token string) (ref tokenRef) {
	digest := sha256.Sum256([]byte(token))
	base64.RawURLEncoding.Encode(ref[:], digest[:18])
	return ref
}

// keptTokens are the tokens that one client has sent over one connection, by their references.
type keptTokens struct {
	mu     sync.RWMutex
	tokens *recent.Set[tokenRef, string] // nil until there is one
}

func (k *keptTokens) keep(token string) {
	ref := refOf(token)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tokens == nil {
		k.tokens = recent.New[tokenRef, string](maxKept)
	}
	k.tokens.Put(ref, token)
}

// token returns the token that ref names; "" for none.
func (k *keptTokens) token(ref string) string {
	if len(ref) != len(tokenRef{}) {
		return ""
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.tokens == nil {
		return ""
	}
	if token := k.tokens.Get(tokenRef([]byte(ref))); token != nil {
		return *token
	}
	return ""
}

// referred returns the token that an authorization names; "" where it is not of that scheme.
func referred(ctx context.Context, authorization string) (token string, err error) {
	ref, ok := strings.CutPrefix(authorization, refScheme+" ")
	if !ok {
		return "", nil
	}
	if c := authInfoOf(ctx); c != nil {
		if token := c.kept.token(ref); token != "" {
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
	token string
	ref   tokenRef
	// added is how many were before it on the connection, and itself.
	added uint64
	// kept is true when the server is known to keep it.
	kept bool
}

// sentTokens are the tokens that were sent over one connection. They are found by a hash of how they end, which is read in a
// moment and differs in all that are signed; of two that end alike, the last one is named.
type sentTokens struct {
	seed   maphash.Seed
	mu     sync.RWMutex
	tokens *recent.Set[uint64, sentToken]
	added  uint64
	// asked counts the calls that the server was asked in to keep a token, until it says for the first time that it does.
	asked atomic.Int32
	// off is set where the server keeps none, or somebody in between sends the calls of one connection over several.
	off atomic.Bool
}

func newSentTokens() *sentTokens {
	return &sentTokens{seed: maphash.MakeSeed(), tokens: recent.New[uint64, sentToken](maxNamed)}
}

// place is what a token is found by.
func (s *sentTokens) place(token string) uint64 {
	const tail = 32
	return maphash.String(s.seed, token[max(0, len(token)-tail):])
}

// authorize returns the metadata that a call carries its token in, for the caller to keep. Where the server is asked to keep
// the token, asked is what its answer is told by; else it is 0.
func (s *sentTokens) authorize(token string) (md map[string]string, asked uint64) {
	if s.off.Load() {
		return bearerOf(token), 0
	}
	place := s.place(token)
	known := s.find(place, token)
	if known.kept {
		return map[string]string{authorizationKey: refScheme + " " + string(known.ref[:])}, 0
	}
	asked = known.added
	if asked == 0 {
		asked = s.add(place, token)
	}
	return map[string]string{authorizationKey: "Bearer " + token, refKey: keepRef}, asked
}

// find returns what is known of a token; nothing where it was not sent lately.
func (s *sentTokens) find(place uint64, token string) (known sentToken) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tokens.Get(place); t != nil && t.token == token {
		return *t
	}
	return sentToken{}
}

func (s *sentTokens) add(place uint64, token string) (asked uint64) {
	ref := refOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.tokens.Get(place); known != nil && known.token == token {
		return known.added
	}
	s.added++
	s.tokens.Put(place, sentToken{token: token, ref: ref, added: s.added})
	return s.added
}

// answered is told whether the server has said that it keeps a token that it was asked to keep.
func (s *sentTokens) answered(token string, asked uint64, kept bool) {
	switch {
	case kept:
		s.mu.Lock()
		defer s.mu.Unlock()
		// It may have been forgotten since, and sent again: what was said before that is not about how young it is now.
		if known := s.tokens.Get(s.place(token)); known != nil && known.added == asked {
			known.kept = true
		}
		s.asked.Store(-1)
	case s.asked.Load() >= 0 && s.asked.Add(1) > maxAsked:
		s.off.Store(true)
	}
}

func bearerOf(token string) map[string]string {
	return map[string]string{authorizationKey: "Bearer " + token}
}

// learn takes note of what the answer says about the token. It reports whether the server did not know a reference, and
// so has not begun the call: it may be made again, with the token itself.
func (a *attempt) learn(err error) (unknown bool) {
	sent := a.sent.Load()
	if sent == nil {
		return false
	}
	if asked := a.asked.Load(); asked > 0 {
		kept := len(a.trailer[refKey]) > 0
		if kept || err == nil || errors.Is(err, io.EOF) { // of a call that was refused no token is kept anywhere
			sent.answered(a.lastToken(), asked, kept)
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
