package jwt

import (
	"hash/maphash"
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
	token string
	// key is what it was verified with; it counts only while that is trusted.
	key *key
	// used tells that it was asked for since the hand last came by.
	used atomic.Bool
	// place is what it is found by, at its index in the ring.
	place    uint64
	at       int
	identity mesh.Identity
}

// cache remembers verified tokens. The whole token is compared, because any part of it (a hash, the jti, the payload)
// would let another token, with another signature, be taken for the one that was verified. It is found by a hash of its end,
// though, as signatures are as good as random: to hash all of a token takes it through the processor's caches, and where it is the
// very string that was verified, comparing does not. Of two that end alike the last one is remembered. Only verified tokens
// come in, so that strangers cannot fill it.
type cache struct {
	seed  maphash.Seed
	shard [shards]shard
}

// shard forgets by the clock algorithm: a hand goes round what is held, lets what was used since its last round stay, and
// puts the new token in the place of the first that was not. Up to limit nothing is forgotten, in whatever order tokens
// come, and a hit writes nothing but a mark that is mostly there.
type shard struct {
	mu    sync.RWMutex
	held  map[uint64]*verified
	ring  []*verified
	hand  int
	limit int
	hits  atomic.Uint64
}

func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shard {
		c.shard[i] = shard{held: map[uint64]*verified{}, limit: max(1, size/shards)}
	}
	return c
}

// of returns what a token is found by, and the shard that it belongs to.
func (c *cache) of(token string) (place uint64, s *shard) {
	const tail = 32
	place = maphash.String(c.seed, token[max(0, len(token)-tail):])
	return place, &c.shard[place>>(64-shardBits)]
}

// get also returns the shard, which counts the hit if it is one.
func (c *cache) get(token string) (*verified, *shard) {
	place, s := c.of(token)
	s.mu.RLock()
	v := s.held[place]
	s.mu.RUnlock()
	if v == nil || v.token != token {
		return nil, s
	}
	if !v.used.Load() {
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
	place, s := c.of(v.token)
	v.place = place
	s.mu.Lock()
	defer s.mu.Unlock()
	before, held := s.held[place]
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
	s.held[place] = v
}

// free forgets the token under the hand, past those that were used, and returns its place.
func (s *shard) free() int {
	for s.ring[s.hand].used.Swap(false) {
		s.hand = (s.hand + 1) % s.limit
	}
	at := s.hand
	s.hand = (s.hand + 1) % s.limit
	delete(s.held, s.ring[at].place)
	return at
}
