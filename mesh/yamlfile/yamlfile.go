// Package yamlfile reads the lists that an operator writes in YAML, and says all that is wrong with one in lines of its own.
//
// What the entries mean is for its users to decide.
package yamlfile

import (
	"errors"
	"io"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

// List reads a file that is one document with a list of T, and nothing that T does not know. An empty file is an empty list.
// The error has a line for each thing that is wrong.
func List[T any](path string) ([]T, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	var list []T
	if err := decoder.Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, problems(err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be a single YAML document")
	}
	return list, nil
}

// problems is one line for each thing that is wrong, in the words of who writes the file.
func problems(err error) error {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	var all []error
	for _, text := range wrong.Errors {
		text, _, _ = strings.Cut(text, " in type ")
		text = strings.NewReplacer(" field ", " ", " not found", ": unknown setting").Replace(text)
		all = append(all, errors.New(strings.Join(strings.Fields(text), " ")))
	}
	return errors.Join(all...)
}

// EachLine puts a prefix before each line of an error.
func EachLine(prefix string, err error) error {
	var lines []error
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, errors.New(prefix+strings.TrimSpace(line)))
	}
	return errors.Join(lines...)
}
