// Command generate makes the compact list of common passwords out of lines of text. Of a line the first word counts.
//
//	go run ./generate -out common.bin passwords.txt
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// prefixLen is that of package breached.
const prefixLen = 5

func main() {
	out := flag.String("out", "common.bin", "file to write")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(out string, lists []string) error {
	var prefixes [][]byte
	for _, path := range lists {
		list, err := os.Open(path)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(list)
		for lines.Scan() {
			if words := strings.Fields(lines.Text()); len(words) > 0 {
				sum := sha256.Sum256([]byte(strings.ToLower(words[0])))
				prefixes = append(prefixes, sum[:prefixLen])
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if err := list.Close(); err != nil {
			return err
		}
	}
	slices.SortFunc(prefixes, bytes.Compare)
	prefixes = slices.CompactFunc(prefixes, bytes.Equal)
	return os.WriteFile(out, bytes.Join(prefixes, nil), 0o644)
}
