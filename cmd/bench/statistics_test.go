package bench

import "testing"

func TestRankEnclosesTheMedianWithNinetyFivePercent(t *testing.T) {
	// Known ranks of the sign test's confidence interval (from 0).
	for n, want := range map[int]int{6: 0, 8: 0, 9: 1, 10: 1, 12: 2, 15: 3, 20: 5, 25: 7} {
		if got := rank(n); got != want {
			t.Errorf("rank(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestRatiosAreOfThePairsNotOfTheMedians(t *testing.T) {
	// The machine slows down tenfold half way; each pair still says 0.5.
	a := []float64{50, 50, 50, 5, 5, 5, 5, 5, 5, 5}
	b := []float64{100, 100, 100, 10, 10, 10, 10, 10, 10, 10}
	if got := ratios(a, b); got != (interval{0.5, 0.5, 0.5}) {
		t.Errorf("ratios = %v, want 0.5 throughout", got)
	}
}
