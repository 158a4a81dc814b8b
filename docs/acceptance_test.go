package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	place    = regexp.MustCompile("`([a-z0-9/-]+(?:\\.test\\.mjs)?)`: ([^`|]*)")
	goTest   = regexp.MustCompile(`\b((?:Test|Benchmark)[A-Z]\w*)`)
	quotedBy = regexp.MustCompile(`"([^"]+)"`)
)

// TestEveryModuleOfAPlanHasATest looks up every test that conformance.md names for a module.
func TestEveryModuleOfAPlanHasATest(t *testing.T) {
	page, err := os.ReadFile("conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| `oidcc-") && !strings.HasPrefix(line, "| `fapi2-") {
			continue
		}
		places := place.FindAllStringSubmatch(line, -1)
		if len(places) == 0 {
			t.Errorf("no test is named in: %s", line)
		}
		for _, m := range places {
			checkNamed(t, m[1], m[2])
		}
	}
}

// TestWhatIsPromisedNamesTestsThatAreThere looks up every test that a table of these pages names, in the folder or file
// that it names. Every row names one.
func TestWhatIsPromisedNamesTestsThatAreThere(t *testing.T) {
	for _, name := range []string{"acceptance.md", "attacks.md", "security.md"} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(page), "\n")
		for i, line := range lines {
			head := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---")
			if !strings.HasPrefix(line, "| ") || head {
				continue
			}
			places := place.FindAllStringSubmatch(line, -1)
			if len(places) == 0 {
				t.Errorf("%s: no test is named in: %s", name, line)
			}
			for _, m := range places {
				checkNamed(t, m[1], m[2])
			}
		}
	}
}

func checkNamed(t *testing.T, where, names string) {
	t.Helper()
	if strings.HasSuffix(where, ".mjs") {
		text, err := os.ReadFile(filepath.Join("..", where))
		if err != nil {
			t.Fatal(err)
		}
		quoted := matches(quotedBy, names)
		if len(quoted) == 0 {
			t.Errorf("no test of %s is named", where)
		}
		for _, name := range quoted {
			if !strings.Contains(string(text), name) {
				t.Errorf("%s has no %q", where, name)
			}
		}
		return
	}
	named := matches(goTest, names)
	if len(named) == 0 {
		t.Errorf("no test of %s is named", where)
	}
	found, err := filepath.Glob(filepath.Join("..", where, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	for _, name := range named {
		if !strings.Contains(code.String(), "func "+name+"(") {
			t.Errorf("%s has no %s", where, name)
		}
	}
}
