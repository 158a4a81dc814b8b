package jwt

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/realguardio/realguardio/mesh"
)

const (
	shardBits = 5
	shards    = 1 << shardBits
)

// verified is a token that was found good.
type verified struct {
	token    string
	identity mesh.Identity
	// key is what it was verified with; it counts only while that is trusted.
	key *key
	// used tells that it was asked for since the hand last came by.
	used atomic.Bool
	// at is its place in the ring.
	at int
}

// cache remembers verified tokens. The whole token is the key, because any part of it (a hash, the jti, the payload)
// would let another token, with another signature, be taken for the one that was verified; Go's maps compare the whole
// key, and at 60 ns for hashing it a digest would cost more than it saves. Only verified tokens come in, so that
// strangers cannot fill it.
type cache struct {
	shard [shards]shard
}

// shard forgets by the clock algorithm: a hand goes round what is held, lets what was used since its last round stay, and
// puts the new token in the place of the first that was not. Up to limit nothing is forgotten, in whatever order tokens
// come, and a hit writes nothing but a mark that is mostly there.
type shard struct {
	mu    sync.RWMutex
	held  map[string]*verified
	ring  []*verified
	hand  int
	limit int
	hits  atomic.Uint64
}

func newCache(size int) *cache {
	c := &cache{}
	for i := range c.shard {
		c.shard[i] = shard{held: map[string]*verified{}, limit: max(1, size/shards)}
	}
	return c
}

// of picks the shard by eight characters of the signature, which are as good as random. The last one is not: it carries
// only the bits that were left over.
func (c *cache) of(token string) *shard {
	if len(token) < 9 {
		return &c.shard[0]
	}
	tail := binary.LittleEndian.Uint64([]byte(token[len(token)-9 : len(token)-1]))
	const golden = 0x9e3779b97f4a7c15 // spreads every bit into the top ones
	return &c.shard[tail*golden>>(64-shardBits)]
}

// get also returns the shard, which counts the hit if it is one.
func (c *cache) get(token string) (*verified, *shard) {
	s := c.of(token)
	s.mu.RLock()
	v := s.held[token]
	s.mu.RUnlock()
	if v != nil && !v.used.Load() {
		v.used.Store(true)
	}
	return v, s
}

// hits are those of all shards: counted apart, so that calls on several cores do not wait for one counter.
func (c *cache) hits() (n uint64) {
	for i := range c.shard {
		n += c.shard[i].hits.Load()
	}
	return n
}

func (c *cache) put(v *verified) {
	s := c.of(v.token)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, held := s.held[v.token]
	switch {
	case held:
		v.at = before.at
	case len(s.ring) < s.limit:
		v.at = len(s.ring)
		s.ring = append(s.ring, nil)
	default:
		v.at = s.free()
	}
	s.ring[v.at] = v
	s.held[v.token] = v
}

// free forgets the token under the hand, past those that were used, and returns its place.
func (s *shard) free() int {
	for s.ring[s.hand].used.Swap(false) {
		s.hand = (s.hand + 1) % s.limit
	}
	at := s.hand
	s.hand = (s.hand + 1) % s.limit
	delete(s.held, s.ring[at].token)
	return at
}
