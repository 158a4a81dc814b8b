package recent_test

import (
	"container/list"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/mesh/internal/recent"
)

func TestTheLastOnesAreHeld(t *testing.T) {
	for _, tt := range []struct{ name, puts, want string }{
		{name: "fewer than there is room for", puts: "ab", want: "ab"},
		{name: "one too many", puts: "abcd", want: "bcd"},
		{name: "many too many", puts: "abcdefgh", want: "fgh"},
		{name: "one again takes no room", puts: "abcabcaaa", want: "abc"},
		{name: "one again is young again", puts: "abcad", want: "acd"},
		{name: "the one before the youngest is young again", puts: "abcbd", want: "bcd"},
		{name: "the youngest stays it", puts: "abccd", want: "bcd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := recent.New[string, int](3)
			last := map[string]int{}
			for n, key := range strings.Split(tt.puts, "") {
				s.Put(key, n)
				last[key] = n
			}
			for key, n := range last {
				v := s.Get(key)
				if held := strings.Contains(tt.want, key); (v != nil) != held || held && *v != n {
					t.Errorf("%s: got %v, want %d held: %v", key, v, n, held)
				}
			}
		})
	}
}

func TestWhatIsHeldCanBeWritten(t *testing.T) {
	s := recent.New[string, int](1)
	s.Put("a", 1)
	*s.Get("a") = 2
	if got := *s.Get("a"); got != 2 {
		t.Errorf("got %d", got)
	}
}

// TestItIsAListInAnyOrder compares a set with the same made of a list.
func TestItIsAListInAnyOrder(t *testing.T) {
	const limit = 20
	random := rand.New(rand.NewPCG(1, 2))
	s, young := recent.New[int, int](limit), list.New()
	for n := range 10_000 {
		key := random.IntN(2 * limit)
		s.Put(key, n)
		for e := young.Front(); e != nil; e = e.Next() {
			if e.Value == key {
				young.Remove(e)
				break
			}
		}
		if young.PushFront(key); young.Len() > limit {
			young.Remove(young.Back())
		}
		held := map[int]bool{}
		for e := young.Front(); e != nil; e = e.Next() {
			held[e.Value.(int)] = true
		}
		for k := range 2 * limit {
			if (s.Get(k) != nil) != held[k] {
				t.Fatalf("after %d: %d is held: %v, want %v", n, k, !held[k], held[k])
			}
		}
	}
}
