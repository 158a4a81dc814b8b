package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// maxNote keeps a line of the table readable.
const maxNote = 100

// printTable prints a line for every module, and how many there are of each verdict.
func printTable(out io.Writer, results []result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PLAN\tMODULE\tRESULT\tFINDING")
	counts := map[string]int{}
	for _, r := range results {
		counts[r.verdict]++
		note := []rune(r.note)
		if len(note) > maxNote {
			note = append(note[:maxNote-1], '…')
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.plan, r.module, r.verdict, string(note))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the results: %w", err)
	}
	fmt.Fprintf(out, "\n%d modules:", len(results))
	for _, verdict := range verdicts {
		if n := counts[verdict]; n > 0 {
			fmt.Fprintf(out, " %d %s", n, verdict)
		}
	}
	_, err := fmt.Fprintln(out)
	return err
}
