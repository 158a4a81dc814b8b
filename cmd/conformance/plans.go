package main

import (
	"cmp"
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
	// WhenNamed says that the plan is run only when it is named: it needs clients that the others cannot use.
	WhenNamed bool `json:"when_named"`
	// Configuration is the suite's own. ${NAME} in its texts stands for an environment variable, an object with the one
	// member "$file" for what is in that file, and one with "$json" for the JSON in it.
	Configuration map[string]any `json:"configuration"`
}

// readPlans returns the plans named, without ".json", or all that need not be, in alphabetical order.
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
		p, err := readPlan(file)
		if err != nil {
			return nil, err
		}
		if p.WhenNamed && len(names) == 0 {
			continue
		}
		if err := p.configure(env); err != nil {
			return nil, fmt.Errorf("%s %w", file, err)
		}
		plans = append(plans, p)
	}
	if len(plans) == 0 || len(names) > 0 && len(plans) != len(names) {
		return nil, fmt.Errorf("there is no such plan among %s", strings.Join(files, ", "))
	}
	return plans, nil
}

func readPlan(file string) (plan, error) {
	content, err := fs.ReadFile(planFiles, file)
	if err != nil {
		return plan{}, fmt.Errorf("reading a plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(content, &p); err != nil {
		return plan{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return p, nil
}

// configure replaces what the configuration leaves to the environment.
func (p *plan) configure(env func(string) (string, bool)) error {
	var missing []string
	filled, err := fill(p.Configuration, func(name string) string {
		value, ok := env(name)
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value
	})
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("needs %s", strings.Join(missing, ", "))
	}
	if err != nil {
		return fmt.Errorf("needs a file that cannot be read: %w", err)
	}
	p.Configuration = filled.(map[string]any)
	return nil
}

// fill replaces variables in the texts of a JSON value, and files, after it was parsed, so that no value can change its
// shape. Of several files that cannot be read it tells of one.
func fill(value any, variable func(string) string) (any, error) {
	switch v := value.(type) {
	case string:
		return os.Expand(v, variable), nil
	case map[string]any:
		if content, is, err := file(v, variable); is {
			return content, err
		}
		out, failed := make(map[string]any, len(v)), error(nil)
		for name, member := range v {
			filled, err := fill(member, variable)
			out[name], failed = filled, cmp.Or(failed, err)
		}
		return out, failed
	case []any:
		out, failed := make([]any, len(v)), error(nil)
		for i, element := range v {
			filled, err := fill(element, variable)
			out[i], failed = filled, cmp.Or(failed, err)
		}
		return out, failed
	}
	return value, nil
}

// file is the content that an object with the one member "$file" or "$json" stands for; is tells whether this is one.
func file(object map[string]any, variable func(string) string) (content any, is bool, err error) {
	text, isText := object["$file"].(string)
	encoded, isJSON := object["$json"].(string)
	if len(object) != 1 || !isText && !isJSON {
		return nil, false, nil
	}
	raw, err := os.ReadFile(os.Expand(text+encoded, variable))
	if err != nil {
		return nil, true, err
	}
	if isText {
		return string(raw), true, nil
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, true, fmt.Errorf("%s: %w", os.Expand(encoded, variable), err)
	}
	return content, true, nil
}
