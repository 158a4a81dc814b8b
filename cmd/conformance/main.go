package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.LookupEnv, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. args names the plans to run; none means all. It returns the exit status: 0 when no module failed,
// 1 when one did or could not be finished, 2 when the settings are wrong.
func run(ctx context.Context, env func(string) (string, bool), args []string, out, problems io.Writer) int {
	settings, err := readSettings(env)
	if errors.Is(err, errSkipped) {
		fmt.Fprintln(out, "skipped: CONFORMANCE_SUITE_URL is not set, so there is no conformance suite to drive")
		return 0
	}
	if err != nil {
		fmt.Fprintln(problems, "conformance:", err)
		return 2
	}
	plans, err := readPlans(args, env)
	if err != nil {
		fmt.Fprintln(problems, "conformance:", err)
		return 2
	}
	var results []result
	for _, p := range plans {
		done, err := runPlan(ctx, settings, p, out)
		results = append(results, done...)
		if err != nil {
			fmt.Fprintln(problems, "conformance:", err)
			results = append(results, result{plan: p.Name, module: "(the plan)", verdict: failed, note: err.Error()})
		}
	}
	fmt.Fprintln(out)
	if err := printTable(out, results); err != nil {
		fmt.Fprintln(problems, "conformance:", err)
		return 1
	}
	for _, r := range results {
		if r.verdict == failed {
			return 1
		}
	}
	return 0
}
