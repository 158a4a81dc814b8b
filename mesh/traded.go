package mesh

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// trade is what tokens are exchanged for.
type trade struct {
	// id is the rest as one text.
	id       string
	audience string
	scopes   []string
	bind     bool
}

func newTrade(to Callee) trade {
	t := trade{audience: to.Audience, scopes: slices.Compact(slices.Sorted(slices.Values(to.Scopes))), bind: to.Bind}
	t.id = t.audience + "\n" + strings.Join(t.scopes, " ")
	if t.bind {
		t.id += "\nbound"
	}
	return t
}

// tradeKey is what an exchanged token is found by: the whole token that it was got for, as a part of that could stand for
// another one, what it was got for, and the digest of the certificate that it is bound to, empty for none.
type tradeKey struct{ token, trade, certificate string }

// String is the key as one text that no other key has.
func (k tradeKey) String() string {
	return strconv.Itoa(len(k.token)) + " " + k.token + strconv.Itoa(len(k.certificate)) + " " + k.certificate + k.trade
}

// traded is a token that was got for another, or the refusal of it. Times are nanoseconds of the Unix epoch.
type traded struct {
	token         string
	refused       *refusal
	asked, expiry int64
	// renew is when another one is worth asking for; expiry where it is not.
	renew    int64
	renewing atomic.Bool
	// retry is when a renewal that failed is tried again.
	retry atomic.Int64
}

// newTraded makes the record of a token that was got in place of before, nil for none. One that lives as long as what it
// was got for, or no longer than the one before, is not worth renewing.
func newTraded(got Exchanged, s subject, asked time.Time, before *traded) *traded {
	t := &traded{token: got.Token, asked: asked.UnixNano(), expiry: got.Expiry.UnixNano()}
	t.renew = t.asked + (t.expiry-t.asked)/3*2
	if before != nil && t.expiry-before.expiry < int64(2*time.Second) {
		t.renew = t.expiry
	}
	if s.identity != nil {
		end := s.identity.Expiry.UnixNano()
		if end-t.expiry < int64(2*time.Second) {
			t.renew = t.expiry
		}
		t.expiry = min(t.expiry, end)
	}
	return t
}

// putOff lets a renewal that failed be tried again at a time.
func (t *traded) putOff(at time.Time) {
	t.retry.Store(at.UnixNano())
	t.renewing.Store(false)
}

// due reports whether the token is to be renewed now, and that to one caller alone.
func (t *traded) due(now int64) bool {
	return now >= t.renew && now < t.expiry && now >= t.retry.Load() && !t.renewing.Load() && t.renewing.CompareAndSwap(false, true)
}

const (
	tradeShardBits = 5
	tradeShards    = 1 << tradeShardBits
)

// tradedTokens remembers exchanged tokens, so many and no more.
type tradedTokens struct {
	shard [tradeShards]tradeShard
}

type tradeShard struct {
	mu    sync.RWMutex
	held  map[tradeKey]*traded
	limit int
	hits  atomic.Uint64
}

func newTradedTokens(size int) *tradedTokens {
	c := &tradedTokens{}
	for i := range c.shard {
		c.shard[i].held, c.shard[i].limit = map[tradeKey]*traded{}, max(1, size/tradeShards)
	}
	return c
}

// of picks the shard by characters of the signature, which are as good as random.
func (c *tradedTokens) of(token string) *tradeShard {
	if len(token) < 9 {
		return &c.shard[0]
	}
	tail := binary.LittleEndian.Uint64([]byte(token[len(token)-9 : len(token)-1]))
	const golden = 0x9e3779b97f4a7c15 // spreads every bit into the top ones
	return &c.shard[tail*golden>>(64-tradeShardBits)]
}

// get returns what is held for key and has not expired, or nil.
func (c *tradedTokens) get(key tradeKey, now int64) *traded {
	s := c.of(key.token)
	s.mu.RLock()
	t := s.held[key]
	s.mu.RUnlock()
	if t == nil || now >= t.expiry {
		return nil
	}
	return t
}

// hit counts a call that found its token. Shards count apart, so that calls do not wait for one counter.
func (c *tradedTokens) hit(token string) { c.of(token).hits.Add(1) }

func (c *tradedTokens) hits() (n uint64) {
	for i := range c.shard {
		n += c.shard[i].hits.Load()
	}
	return n
}

func (c *tradedTokens) put(key tradeKey, t *traded) {
	s := c.of(key.token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.held[key]; !there && len(s.held) >= s.limit {
		s.makeRoom(t.asked)
	}
	s.held[key] = t
}

// makeRoom forgets what has expired among some, or else the one of them that ends first. Which ones it looks at is as random
// as the order of a map. The lock is held.
func (s *tradeShard) makeRoom(now int64) {
	const looked = 8
	var first tradeKey
	ends, seen := int64(0), 0
	for key, t := range s.held {
		if t.expiry <= now {
			delete(s.held, key)
		} else if seen == 0 || t.expiry < ends {
			first, ends = key, t.expiry
		}
		if seen++; seen == looked {
			break
		}
	}
	if len(s.held) >= s.limit {
		delete(s.held, first)
	}
}

func (c *tradedTokens) drop(key tradeKey) {
	s := c.of(key.token)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, key)
}
