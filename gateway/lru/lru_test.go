package lru_test

import (
	"testing"

	"github.com/realguardio/realguardio/gateway/lru"
)

func TestWhatWasUsedLongestAgoLeaves(t *testing.T) {
	m := lru.New[string, int](2)
	m.Put("a", 1)
	m.Put("b", 2)
	if v, ok := m.Get("a"); !ok || v != 1 {
		t.Fatalf("a is %d, %v", v, ok)
	}
	if v := m.GetOr("c", func() int { return 3 }); v != 3 {
		t.Fatalf("c is %d", v)
	}
	if _, ok := m.Get("b"); ok {
		t.Error("b is still there")
	}
	m.Put("a", 4)
	if v := m.GetOr("a", func() int { return 5 }); v != 4 {
		t.Errorf("a is %d", v)
	}
	m.Delete("a")
	m.Delete("a")
	if _, ok := m.Get("a"); ok {
		t.Error("a is still there")
	}
}
