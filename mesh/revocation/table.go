package revocation

import (
	"math"
	"sync/atomic"
	"time"
)

// never is the expiry of what does not expire.
const never = math.MaxInt64

// smallest is the size of a table with anything in it. Sizes are powers of two.
const smallest = 64

// table says until when values are revoked. It holds a value as its hash under a key that nobody knows outside of this
// process: 16 bytes instead of a string and its header, at most three in four of them filled. Two values that share a
// hash would share their revocation; among a million entries that refuses one good token in some 10^12, and lets none
// in that has ended.
//
// It is open addressing with linear probing. One goroutine writes at a time; readers take no lock, because a hash is
// stored after what belongs to it and is never moved: to grow and to forget, a new table is made.
type table struct {
	hashes []atomic.Uint64 // 0 where nothing is
	until  []atomic.Int64  // nanoseconds of the Unix epoch
	below  []atomic.Int64  // an epoch; nil where none is asked for
	// used and soonest, the first expiry, are the writer's.
	used    int
	soonest int64
}

func newTable(size int, epochs bool) *table {
	t := &table{hashes: make([]atomic.Uint64, size), until: make([]atomic.Int64, size), soonest: never}
	if epochs {
		t.below = make([]atomic.Int64, size)
	}
	return t
}

// find returns the place of a hash, and whether it is there; if not, the place is where it would go.
func (t *table) find(hash uint64) (at int, found bool) {
	mask := uint64(len(t.hashes) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch t.hashes[i].Load() {
		case hash:
			return int(i), true
		case 0:
			return int(i), false
		}
	}
}

// put stores a hash that is not there, at the place that find told.
func (t *table) put(at int, hash uint64, until, below int64) {
	t.until[at].Store(until)
	if t.below != nil {
		t.below[at].Store(below)
	}
	t.hashes[at].Store(hash)
	t.used++
	t.soonest = min(t.soonest, until)
}

// extend makes what is there last at least until, and mean at least what is below. A reader in between finds it as it was
// or as it will be.
func (t *table) extend(at int, until, below int64) {
	t.until[at].Store(max(t.until[at].Load(), until))
	if t.below != nil {
		t.below[at].Store(max(t.below[at].Load(), below))
	}
}

// crowded tells whether one more would make probing long.
func (t *table) crowded() bool { return 4*(t.used+1) > 3*len(t.hashes) }

// without returns a copy that leaves out what has expired, with room for as much again as half of what is left.
func (t *table) without(now int64) *table {
	live := 0
	for i := range t.hashes {
		if t.hashes[i].Load() != 0 && t.until[i].Load() > now {
			live++
		}
	}
	size := smallest
	for 2*size < 3*live+3 {
		size *= 2
	}
	made := newTable(size, t.below != nil)
	for i := range t.hashes {
		hash, until := t.hashes[i].Load(), t.until[i].Load()
		if hash == 0 || until <= now {
			continue
		}
		below := int64(0)
		if t.below != nil {
			below = t.below[i].Load()
		}
		at, _ := made.find(hash)
		made.put(at, hash, until, below)
	}
	return made
}

// column is a table that can be replaced while it is read.
type column struct {
	current atomic.Pointer[table]
	epochs  bool
}

// ends tells whether the value with this hash is revoked now, for a token of this epoch.
func (c *column) ends(hash uint64, epoch, now int64) bool {
	t := c.current.Load()
	if t == nil {
		return false
	}
	at, found := t.find(hash)
	return found && now < t.until[at].Load() && (t.below == nil || epoch < t.below[at].Load())
}

// extend reports whether the hash was there. As put and forget, it is for one goroutine at a time.
func (c *column) extend(hash uint64, until, below int64) bool {
	t := c.current.Load()
	if t == nil {
		return false
	}
	at, found := t.find(hash)
	if found {
		t.extend(at, until, below)
	}
	return found
}

// put stores a hash that is not there, and returns how many expired ones went to make room.
func (c *column) put(hash uint64, until, below int64, now time.Time) (gone int) {
	t := c.current.Load()
	if t == nil {
		t = newTable(smallest, c.epochs)
		c.current.Store(t)
	}
	if t.crowded() {
		before := t.used
		t = t.without(now.UnixNano())
		gone = before - t.used
		c.current.Store(t)
	}
	at, _ := t.find(hash)
	t.put(at, hash, until, below)
	return gone
}

// forget drops what has expired, and returns how many that were.
func (c *column) forget(now time.Time) (gone int) {
	t := c.current.Load()
	if t == nil || t.soonest > now.UnixNano() {
		return 0
	}
	made := t.without(now.UnixNano())
	if made.used == 0 {
		made = nil
		c.current.Store(nil)
		return t.used
	}
	c.current.Store(made)
	return t.used - made.used
}
