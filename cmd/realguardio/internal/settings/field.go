package settings

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// source ranks where a value came from; a higher one wins.
type source int

const (
	fromDefault source = iota
	fromFile
	fromSection
	fromEnvironment
	fromFlag
)

// field is one setting. It is a pflag.Value whose Set never fails, so that a bad flag is reported together with every
// other problem.
type field struct {
	name, kind string
	source     source
	// label is how the person who set it calls it: --flag, VARIABLE, or file: key.
	label  string
	err    error
	parse  func([]string) error
	text   func() string
	checks []Check
	values []string
}

func (f *field) String() string {
	if f.text == nil {
		return ""
	}
	return f.text()
}

func (f *field) Type() string { return f.kind }

// Set is called by the command line, once for each time the flag stands there.
func (f *field) Set(value string) error {
	if f.source == fromFlag {
		f.values = append(f.values, value)
	} else {
		f.values = []string{value}
	}
	f.source, f.label = fromFlag, "--"+f.name
	f.err = f.parse(f.values)
	return nil
}

func (f *field) offer(from source, label string, values []string) {
	if f.source > from {
		return
	}
	f.source, f.label, f.values = from, label, values
	f.err = f.parse(values)
}

func (f *field) problems() Problems {
	label := f.label
	if label == "" {
		label = "--" + f.name
	}
	if f.err != nil {
		return Problems{label + ": " + f.err.Error()}
	}
	var problems Problems
	for _, check := range f.checks {
		if err := check(f.text()); err != nil {
			problems = append(problems, label+": "+err.Error())
		}
	}
	return problems
}

// single parses a setting that has one value: of a flag given twice, the last counts.
func single(parse func(string) error) func([]string) error {
	return func(values []string) error { return parse(values[len(values)-1]) }
}

// String declares a text. The default is what p holds.
func (s *Set) String(p *string, name, usage string, checks ...Check) {
	s.add(name, usage, "string", single(func(v string) error { *p = v; return nil }), func() string { return *p }, checks)
}

// Bool declares a switch.
func (s *Set) Bool(p *bool, name, usage string) {
	parse := single(func(v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("must be true or false")
		}
		*p = b
		return nil
	})
	s.add(name, usage, "bool", parse, func() string { return strconv.FormatBool(*p) }, nil)
	s.flags.Lookup(name).NoOptDefVal = "true"
}

// Count declares a number from 1 on.
func (s *Set) Count(p *int, name, usage string) {
	parse := single(func(v string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 1 {
			return errors.New("must be a whole number from 1 on")
		}
		*p = int(n)
		return nil
	})
	s.add(name, usage, "number", parse, func() string { return strconv.Itoa(*p) }, nil)
}

// Duration declares a length of time such as 5m or 90s. None is negative.
func (s *Set) Duration(p *time.Duration, name, usage string, checks ...Check) {
	parse := single(func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return errors.New(`must be a length of time such as "5m" or "90s"`)
		}
		if d < 0 {
			return errors.New("must not be negative")
		}
		*p = d
		return nil
	})
	s.add(name, usage, "duration", parse, func() string { return shown(*p) }, checks)
}

// shown is a default without the zeros that nobody would write; none for 0, whose meaning the usage tells.
func shown(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	for _, zeros := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zeros) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// Strings declares a list: a flag given several times or with commas, a variable with commas, a list in YAML.
func (s *Set) Strings(p *[]string, name, usage string, checks ...Check) {
	parse := func(values []string) error {
		*p = nil
		for _, v := range values {
			for _, item := range strings.Split(v, ",") {
				if item = strings.TrimSpace(item); item != "" {
					*p = append(*p, item)
				}
			}
		}
		return nil
	}
	s.add(name, usage, "strings", parse, func() string { return strings.Join(*p, ",") }, checks)
}
