package jwt

import (
	"sync"

	"github.com/realguardio/realguardio/mesh"
)

const shards = 32

// verified is a token that was found good.
type verified struct {
	identity mesh.Identity
	// key is what it was verified with; it counts only while that is trusted.
	key *key
}

// cache remembers verified tokens. The whole token is the key, because any part of it (a hash, the jti, the payload)
// would let another token, with another signature, be taken for the one that was verified; Go's maps compare the whole
// key, and at 60 ns for hashing it a digest would cost more than it saves. Only verified tokens come in, so that
// strangers cannot fill it.
type cache struct {
	shard [shards]shard
}

// shard is two generations: what is used moves to the young one; when that is full it becomes the old one, and what was
// old is forgotten. That bounds the size and keeps what is used, at a map lookup per hit.
type shard struct {
	mu         sync.RWMutex
	young, old map[string]*verified
	limit      int
}

func newCache(size int) *cache {
	c := &cache{}
	for i := range c.shard {
		c.shard[i] = shard{young: map[string]*verified{}, limit: max(1, size/shards/2)}
	}
	return c
}

// of picks the shard by a character of the signature, which is as good as random.
func (c *cache) of(token string) *shard {
	if len(token) < 8 {
		return &c.shard[0]
	}
	return &c.shard[token[len(token)-8]%shards]
}

func (c *cache) get(token string) *verified {
	s := c.of(token)
	s.mu.RLock()
	v, young := s.young[token]
	if !young {
		v = s.old[token]
	}
	s.mu.RUnlock()
	if v != nil && !young {
		s.put(token, v)
	}
	return v
}

func (c *cache) put(token string, v *verified) { c.of(token).put(token, v) }

func (s *shard) put(token string, v *verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= s.limit {
		s.old, s.young = s.young, make(map[string]*verified, s.limit)
	}
	s.young[token] = v
}
