package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// interval is the median of paired ratios with its 95% confidence interval, by order statistics: no assumption about the
// shape of the noise, only that the pairs are independent.
type interval struct{ low, median, high float64 }

func (i interval) String() string {
	return fmt.Sprintf("%.3f  [%.3f, %.3f]", i.median, i.low, i.high)
}

// ratios returns the interval of a[k]/b[k]. It needs at least six pairs: below that no order statistic reaches 95%.
func ratios(a, b []float64) interval {
	r := make([]float64, len(a))
	for k := range a {
		r[k] = a[k] / b[k]
	}
	slices.SortFunc(r, cmp.Compare[float64])
	j := rank(len(r))
	return interval{low: r[j], median: median(r), high: r[len(r)-1-j]}
}

// rank is the largest j for which the j-th smallest and j-th largest of n values (from 0) enclose the median with at
// least 95% probability: P(Binomial(n, 1/2) <= j) <= 2.5%.
func rank(n int) int {
	p, cumulative := math.Pow(0.5, float64(n)), 0.0
	for j := 0; ; j++ {
		cumulative += p
		if cumulative > 0.025 {
			return max(j-1, 0)
		}
		p = p * float64(n-j) / float64(j+1)
	}
}

// middle is the median of values in any order.
func middle(values []float64) float64 { return median(slices.Sorted(slices.Values(values))) }

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
