package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var (
	sample = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{([^}]*)\})? `)
	pair   = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	// named is a metric in an expression, with its matchers; a function is followed by a bracket.
	named    = regexp.MustCompile(`([a-z]+_[a-z_]+|up)\b(?:\{([^}]*)\})?(\s*\()?`)
	grouping = regexp.MustCompile(`\b(?:by|on|without)\s*\(([^)]*)\)`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"`)
	quoted   = regexp.MustCompile("`((?:mesh|realguardio|grpc|go|process)_[a-z_]+)")
)

// series is what is known of a metric: its labels and the values of each.
type series map[string]map[string]bool

// scrape reads /metrics of every part.
func (s *stand) scrape(t *testing.T) (found map[string]series, text string) {
	t.Helper()
	found = map[string]series{}
	var all strings.Builder
	for _, base := range s.Ops {
		body := string(call(t, s.http, http.MethodGet, base+"/metrics", nil).body)
		all.WriteString(body)
		for _, m := range sample.FindAllStringSubmatch(body, -1) {
			if found[m[1]] == nil {
				found[m[1]] = series{}
			}
			for _, l := range pair.FindAllStringSubmatch(m[2], -1) {
				if found[m[1]][l[1]] == nil {
					found[m[1]][l[1]] = map[string]bool{}
				}
				found[m[1]][l[1]][l[2]] = true
			}
		}
	}
	return found, all.String()
}

// checkMetrics holds the dashboards, the alerts and the manual to what the parts really show.
func checkMetrics(t *testing.T, s *stand) {
	served, _ := s.scrape(t)
	for where, expressions := range map[string][]string{"the dashboard": dashboard(t), "the alerts": alerts(t)} {
		if len(expressions) < 10 {
			t.Fatalf("%s has only %d expressions", where, len(expressions))
		}
		for _, expression := range expressions {
			for _, problem := range unserved(expression, served) {
				t.Errorf("%s: %s in %s", where, problem, expression)
			}
		}
	}
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range quoted.FindAllStringSubmatch(string(manual), -1) {
		if served[m[1]] == nil && served[m[1]+"_count"] == nil {
			t.Errorf("the manual names %s, which no part shows", m[1])
		}
	}
	for name, labels := range served {
		for label, values := range labels {
			// The longest list is that of methods and, for histograms, of buckets.
			if len(values) > 150 {
				t.Errorf("%s has %d values of %s", name, len(values), label)
			}
		}
	}
	if problems := unserved(`sum by (job, colour) (rate(mesh_made_up_total{cause="x"}[5m])) > mesh_shed_total{why="y"}`, served); len(problems) != 3 {
		t.Errorf("the check finds %v", problems)
	}
}

// unserved says what of an expression no part shows: metrics, and labels that none of the expression's metrics has.
func unserved(expression string, served map[string]series) []string {
	var problems []string
	labels := map[string]bool{"job": true, "instance": true, "le": true} // Prometheus' own
	bare := grouping.ReplaceAllString(expression, "")
	for _, m := range named.FindAllStringSubmatch(regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(bare, ""), -1) {
		name, matchers, call := m[1], m[2], m[3]
		if call != "" && matchers == "" || name == "up" || slices.Contains([]string{"histogram_quantile", "label_values"}, name) {
			continue
		}
		if served[name] == nil {
			problems = append(problems, "no metric "+name)
			continue
		}
		for label := range served[name] {
			labels[label] = true
		}
		for _, l := range matcher.FindAllStringSubmatch(matchers, -1) {
			if served[name][l[1]] == nil && l[1] != "job" {
				problems = append(problems, name+" has no label "+l[1])
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if label = strings.TrimSpace(label); !labels[label] {
				problems = append(problems, "no label "+label)
			}
		}
	}
	return problems
}

// dashboard lists the expressions of the dashboard.
func dashboard(t *testing.T) []string {
	text, err := os.ReadFile("../../deploy/dashboards/realguardio.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

// alerts lists the expressions of the alerting rules. Each alert is explained in the manual.
func alerts(t *testing.T) []string {
	text, err := os.ReadFile("../../deploy/alerts/realguardio.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			all = append(all, rule.Expr)
			if !strings.Contains(string(manual), "`"+rule.Alert+"`") {
				t.Errorf("the manual does not say what to do about %s", rule.Alert)
			}
			if !slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) || rule.Annotations["summary"] == "" {
				t.Errorf("%s has %v", rule.Alert, slices.Collect(maps.Values(rule.Labels)))
			}
		}
	}
	return all
}
