package docs_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/realguardio/realguardio/"

// TestImportsPointOneWay holds the code against the picture in architecture.md: cmd -> {gateway, services} -> mesh -> gen.
// Tests may look further than the code they test: they stand at the end of the arrows.
func TestImportsPointOneWay(t *testing.T) {
	for _, pkg := range packages(t) {
		from := strings.TrimPrefix(pkg.ImportPath, module)
		for _, imported := range pkg.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if ours && !mayImport(from, to) {
				t.Errorf("%s imports %s", from, to)
			}
		}
	}
}

// layer is a row of a table in architecture.md: a package, and which others of its table it imports.
var layer = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| [^|]* \\| ([^|]*) ?\\|$")

// layers returns the imports that the tables have for each package.
func layers(t *testing.T) map[string]string {
	t.Helper()
	allowed := map[string]string{}
	for _, row := range layer.FindAllStringSubmatch(contents(t, "architecture.md"), -1) {
		allowed[row[1]] = row[2]
	}
	return allowed
}

// TestTheMeshHasLayers: its packages import each other as the table in architecture.md says, and each is there.
func TestTheMeshHasLayers(t *testing.T) {
	allowed := layers(t)
	for _, pkg := range packages(t) {
		name := strings.TrimPrefix(pkg.ImportPath, module)
		if !inside(name, "mesh") {
			continue
		}
		others, known := allowed[name]
		if !known {
			t.Errorf("architecture.md does not say what %s is", name)
		}
		for _, imported := range pkg.Imports {
			if other := strings.TrimPrefix(imported, module); inside(other, "mesh") && !strings.Contains(others, "`"+other+"`") {
				t.Errorf("%s imports %s", name, other)
			}
		}
	}
}

// TestTheTokenServiceHasLayers: its packages import each other as the table in architecture.md says, and what decides in it
// knows neither wire nor database.
func TestTheTokenServiceHasLayers(t *testing.T) {
	const token = module + "services/token/"
	allowed := layers(t)
	without := map[string][]string{
		"oauth": {"net/http", "database/sql", "google.golang.org/grpc", module + "services/internal/sqldb", module + "mesh"},
		"web":   {"database/sql", "google.golang.org/grpc", module + "services/internal/sqldb"},
		"rpc":   {"net/http", "database/sql", module + "services/internal/sqldb"},
	}
	without["account"] = without["oauth"]
	for _, pkg := range packages(t) {
		name, found := strings.CutPrefix(pkg.ImportPath, token)
		if !found || strings.HasSuffix(name, "/generate") {
			continue
		}
		others, known := allowed[name]
		if !known {
			t.Errorf("architecture.md does not say what services/token/%s is", name)
		}
		for _, imported := range pkg.Imports {
			if other, ours := strings.CutPrefix(imported, token); ours && !strings.Contains(others, "`"+other+"`") {
				t.Errorf("services/token/%s imports %s", name, other)
			}
			if slices.Contains(without[name], imported) {
				t.Errorf("services/token/%s imports %s", name, imported)
			}
		}
	}
}

// TestTheMeshRootStaysLight keeps what only some importers of mesh need out of its root package.
func TestTheMeshRootStaysLight(t *testing.T) {
	heavy := []string{"github.com/prometheus/", "go.opentelemetry.io/", "google.golang.org/grpc/xds", "github.com/spiffe/", "database/sql", "github.com/redis/"}
	for _, pkg := range packages(t) {
		if pkg.ImportPath != module+"mesh" {
			continue
		}
		for _, dep := range pkg.Deps {
			for _, prefix := range heavy {
				if strings.HasPrefix(dep, prefix) {
					t.Errorf("mesh depends on %s", dep)
				}
			}
		}
	}
}

// mayImport is the rule of architecture.md, for paths below the module.
func mayImport(from, to string) bool {
	part := func(path string) string { return strings.Join(firstN(strings.Split(path, "/"), 2), "/") }
	switch {
	case strings.HasPrefix(to, "gen/"):
		return true
	case strings.HasPrefix(from, "cmd/"):
		return true
	case inside(from, "mesh"):
		return inside(to, "mesh")
	case inside(from, "gateway"):
		return inside(to, "gateway") || inside(to, "mesh")
	case inside(from, "services/internal"):
		return inside(to, "services/internal") || inside(to, "mesh")
	case inside(from, "services"):
		return part(from) == part(to) || inside(to, "services/internal") || inside(to, "mesh")
	}
	return false
}

func inside(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func firstN(parts []string, n int) []string { return slices.Clip(parts[:min(n, len(parts))]) }

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	command.Dir = ".."
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg goPackage
		if err := decoder.Decode(&pkg); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, pkg)
	}
}
