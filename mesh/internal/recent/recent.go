// Package recent holds the last so many things that were put in, each by a key, in memory that the collector has little to
// go through: everything lies in one slice and one map, and what is linked is linked by index.
//
// It does not lock: that is its users'.
package recent

// none is the place of nothing.
const none = -1

// Set holds the last things that were put in. The zero Set holds nothing; [New] makes one.
type Set[K comparable, V any] struct {
	at    map[K]int32
	slots []slot[K, V]
	// youngest and oldest are where the order begins and ends.
	youngest, oldest int32
	limit            int
}

type slot[K comparable, V any] struct {
	value          V
	key            K
	younger, older int32
}

// New makes a set of the last limit things.
func New[K comparable, V any](limit int) *Set[K, V] {
	return &Set[K, V]{at: map[K]int32{}, limit: limit, youngest: none, oldest: none}
}

// Get returns what was put in by key, to be read and written until something else is put in; nil where it is not held.
// It does not make it young again.
func (s *Set[K, V]) Get(key K) *V {
	if i, held := s.at[key]; held {
		return &s.slots[i].value
	}
	return nil
}

// Put holds v by key, as the youngest, and forgets the oldest where there is no room.
func (s *Set[K, V]) Put(key K, v V) {
	i, held := s.at[key]
	switch {
	case held:
		s.unlink(i)
	case len(s.slots) < s.limit:
		i = int32(len(s.slots)) //nolint:gosec // limits are far below
		s.slots = append(s.slots, slot[K, V]{})
	default:
		i = s.oldest
		s.unlink(i)
		delete(s.at, s.slots[i].key)
	}
	s.slots[i] = slot[K, V]{value: v, key: key, younger: none, older: s.youngest}
	if s.youngest != none {
		s.slots[s.youngest].younger = i
	} else {
		s.oldest = i
	}
	s.youngest = i
	s.at[key] = i
}

func (s *Set[K, V]) unlink(i int32) {
	younger, older := s.slots[i].younger, s.slots[i].older
	if younger != none {
		s.slots[younger].older = older
	} else {
		s.youngest = older
	}
	if older != none {
		s.slots[older].younger = younger
	} else {
		s.oldest = younger
	}
}
