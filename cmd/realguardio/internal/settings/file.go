package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

// fromFile reads the file that [ConfigFlag] names. Top-level keys are settings, or a part's name with a mapping of
// settings that concern that part alone. The error says that it is no such file.
func (s *Set) fromFile(known map[string]bool) (Problems, error) {
	config := s.fields[ConfigFlag]
	path := config.text()
	if path == "" {
		return nil, nil
	}
	if problems := config.problems(); len(problems) > 0 {
		return nil, problems
	}
	root, err := decode(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	problems := duplicates(path, "", root)
	for key, value := range pairs(root) {
		if value.Kind == yaml.MappingNode && isSection(key.Value) {
			problems = append(problems, s.fromMapping(known, path, key.Value+".", value, fromSection, key.Value == s.section)...)
			continue
		}
		problems = append(problems, s.fromPair(known, path, "", key, value, fromFile, true)...)
	}
	return problems, nil
}

// duplicates refuses keys that a mapping has twice: one of them would silently not count.
func duplicates(path, prefix string, node *yaml.Node) Problems {
	var problems Problems
	first := map[string]int{}
	for key := range pairs(node) {
		if line, twice := first[key.Value]; twice {
			problems = append(problems, fmt.Sprintf("%s:%d: %s%s: stands in line %d already", path, key.Line, prefix, key.Value, line))
			continue
		}
		first[key.Value] = key.Line
	}
	return problems
}

func decode(path string) (*yaml.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var document yaml.Node
	decoder := yaml.NewDecoder(file)
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return &yaml.Node{Kind: yaml.MappingNode}, nil
		}
		return nil, err
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be a single YAML document")
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("must be a mapping of settings")
	}
	return root, nil
}

// isSection reports whether a top-level key may hold a mapping of one part's settings.
func isSection(key string) bool {
	switch key {
	case "token", "customer", "securitysystem", "notification", "gateway", "dev":
		return true
	}
	return false
}

func (s *Set) fromMapping(known map[string]bool, path, prefix string, node *yaml.Node, from source, mine bool) Problems {
	problems := duplicates(path, prefix, node)
	for key, value := range pairs(node) {
		problems = append(problems, s.fromPair(known, path, prefix, key, value, from, mine)...)
	}
	return problems
}

func (s *Set) fromPair(known map[string]bool, path, prefix string, key, value *yaml.Node, from source, mine bool) Problems {
	label := fmt.Sprintf("%s:%d: %s%s", path, key.Line, prefix, key.Value)
	if !known[key.Value] || key.Value == ConfigFlag {
		return Problems{label + ": unknown setting"}
	}
	values, err := scalars(value)
	if err != nil {
		return Problems{label + ": " + err.Error()}
	}
	if f := s.fields[key.Value]; f != nil && mine {
		f.offer(from, label, values)
	}
	return nil
}

func scalars(node *yaml.Node) ([]string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		return []string{node.Value}, nil
	case yaml.SequenceNode:
		values := []string{""}
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("must be a list of plain values")
			}
			values = append(values, item.Value)
		}
		return values, nil
	}
	return nil, errors.New("must be a plain value or a list of them")
}

func pairs(node *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if !yield(node.Content[i], node.Content[i+1]) {
				return
			}
		}
	}
}

// trimmed reads a small text file without the newline that editors put at its end.
func trimmed(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
