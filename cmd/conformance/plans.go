package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

//go:embed plans/*.json
var planFiles embed.FS

// plan is a file of plans/.
type plan struct {
	// Name is what the suite calls the plan.
	Name string `json:"plan"`
	// Variant chooses what the plan leaves open.
	Variant map[string]string `json:"variant"`
	// Configuration is the suite's own; ${NAME} in its texts stands for an environment variable.
	Configuration map[string]any `json:"configuration"`
}

// readPlans returns the plans named, without ".json", or all of them in alphabetical order.
func readPlans(names []string, env func(string) (string, bool)) ([]plan, error) {
	files, err := fs.Glob(planFiles, "plans/*.json")
	if err != nil {
		return nil, fmt.Errorf("listing the plans: %w", err)
	}
	var plans []plan
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".json")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		p, err := readPlan(file, env)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	if len(plans) == 0 || len(names) > 0 && len(plans) != len(names) {
		return nil, fmt.Errorf("there is no such plan among %s", strings.Join(files, ", "))
	}
	return plans, nil
}

func readPlan(file string, env func(string) (string, bool)) (plan, error) {
	content, err := fs.ReadFile(planFiles, file)
	if err != nil {
		return plan{}, fmt.Errorf("reading a plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(content, &p); err != nil {
		return plan{}, fmt.Errorf("reading %s: %w", file, err)
	}
	var missing []string
	filled := fill(p.Configuration, func(name string) string {
		value, ok := env(name)
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value
	})
	if len(missing) > 0 {
		slices.Sort(missing)
		return plan{}, fmt.Errorf("%s needs %s", file, strings.Join(missing, ", "))
	}
	p.Configuration = filled.(map[string]any)
	return p, nil
}

// fill replaces variables in the texts of a JSON value, after it was parsed, so that no value can change its shape.
func fill(value any, variable func(string) string) any {
	switch v := value.(type) {
	case string:
		return os.Expand(v, variable)
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			out[name] = fill(member, variable)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = fill(element, variable)
		}
		return out
	}
	return value
}
