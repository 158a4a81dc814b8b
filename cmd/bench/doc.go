// Package bench measures what RealGuardIO costs, as ratios against a bare baseline that runs in the same process, turn by
// turn: at least ten pairs, the median ratio with its 95% interval. `make bench` runs it and fails when a ratio misses its
// bound, so that a change that slows the hot path is seen. Absolute figures depend on the machine and are printed only for
// orientation. It holds nothing that a program could import.
package bench
