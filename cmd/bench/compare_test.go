package bench

import (
	"context"
	"flag"
	"testing"
	"time"
)

var (
	pairs       = flag.Int("pairs", 40, "interleaved pairs per comparison (at least 10)")
	turn        = flag.Duration("turn", 400*time.Millisecond, "length of each half of a pair")
	concurrency = flag.Int("concurrency", 64, "calls in flight")
)

// side runs one half of a pair and returns a figure: calls a second, or CPU seconds a call.
type side func(ctx context.Context) (float64, error)

// compareRates compares two rates, and logs the CPU that a call costs this process on either side: a figure that a noisy
// machine disturbs less, for orientation.
func compareRates(b *testing.B, unit string, ours, bare side, bound string, keeps func(interval) bool) {
	var cost, bareCost []float64
	compare(b, unit, withCost(ours, &cost), withCost(bare, &bareCost), bound, keeps)
	b.Logf("CPU a call: %v times the bare one's; medians %.4g against %.4g s", ratios(cost, bareCost), middle(cost), middle(bareCost))
}

func withCost(s side, cost *[]float64) side {
	return func(ctx context.Context) (float64, error) {
		before, start := selfCPU(), time.Now()
		rate, err := s(ctx)
		*cost = append(*cost, (selfCPU()-before)/(rate*time.Since(start).Seconds()))
		return rate, err
	}
}

// compare warms both sides up, then lets them take turns; which of them begins alternates, so that a drift of the machine
// favours neither. It reports the ratio ours/bare and its interval, and fails b when keeps says no.
func compare(b *testing.B, unit string, ours, bare side, bound string, keeps func(interval) bool) {
	if *pairs < 10 {
		b.Fatal("-pairs must be at least 10")
	}
	var x, y []float64
	for k := -1; k < *pairs; k++ {
		var o, p float64
		if k%2 == 0 {
			p = measure(b, bare)
			o = measure(b, ours)
		} else {
			o = measure(b, ours)
			p = measure(b, bare)
		}
		if k >= 0 { // the pair before was the warm-up
			x, y = append(x, o), append(y, p)
		}
	}
	i := ratios(x, y)
	b.Logf("ratio %v over %d pairs; bound: %s; medians %.4g against %.4g %s", i, *pairs, bound, middle(x), middle(y), unit)
	b.ReportMetric(i.median, "ratio")
	b.ReportMetric(i.low, "low95")
	b.ReportMetric(i.high, "high95")
	b.ReportMetric(0, "ns/op")
	if !keeps(i) {
		b.Errorf("ratio %v misses its bound: %s", i, bound)
	}
}

func measure(b *testing.B, s side) float64 {
	v, err := s(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// atLeast is a bound on the lower end of the interval, atMost on the upper.
func atLeast(bound float64) func(interval) bool {
	return func(i interval) bool { return i.low >= bound }
}
func atMost(bound float64) func(interval) bool {
	return func(i interval) bool { return i.high <= bound }
}
