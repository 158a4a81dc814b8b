package docs_test

import (
	"os"
	"strings"
	"testing"
)

// TestTheExampleIsShort counts what somebody writes for a service of their own: neither comments nor what is generated.
func TestTheExampleIsShort(t *testing.T) {
	lines := 0
	for _, file := range []string{"main.go", "proto/greeter/v1/greeter.proto"} {
		text, err := os.ReadFile("../examples/greeter/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	if lines < 40 || lines >= 80 {
		t.Errorf("the greeter has %d lines of code, and less than 80 are promised", lines)
	}
}
