package jose

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

var (
	errNotJSON   = errors.New("it is not a JSON object in UTF-8")
	errDuplicate = errors.New("a member appears twice")
	errDeep      = errors.New("it is nested too deeply")
)

// maxDepth is how deep values may be nested. Each level is read again with the one around it, so that what a stranger
// sends must not have many.
const maxDepth = 24

// Object decodes a base64url segment that holds a JSON object, as [Members] reads it.
func Object(segment string) (map[string]json.RawMessage, error) {
	raw, err := Decode(segment)
	if err != nil {
		return nil, err
	}
	return Members(raw)
}

// Members returns the members of the object that is all of raw, by their exact names. Unlike encoding/json, which lets
// the last of two equal names win, ignores case and repairs bad UTF-8, it refuses what two readers could read
// differently (RFC 7515, section 10.12; RFC 8725, section 2.4), however deep.
//
// The standard library decides what is JSON; what is left to do here, finding where values begin and end, may then take
// that for granted. It costs a tenth of a json.Decoder, which would make up a third of a verification.
func Members(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, errNotJSON
	}
	s := scanner{raw: raw}
	if s.space(); s.raw[s.at] != '{' {
		return nil, errNotJSON
	}
	return s.object(maxDepth)
}

// scanner splits JSON that is known to be valid.
type scanner struct {
	raw []byte
	at  int
}

// object reads the object that begins here, and in it no more than depth levels.
func (s *scanner) object(depth int) (map[string]json.RawMessage, error) {
	m := make(map[string]json.RawMessage, 16)
	for s.next() != '}' {
		name := Unquote(s.value())
		s.next() // ':'
		value := s.value()
		if _, twice := m[name]; twice {
			return nil, errDuplicate
		}
		if err := unambiguous(value, depth-1); err != nil {
			return nil, err
		}
		m[name] = value
	}
	return m, nil
}

// next goes over one structural character and returns the one that it stands at then: past '{', '[' or ',' that is the
// first of a value, or the end.
func (s *scanner) next() byte {
	s.space()
	if c := s.raw[s.at]; c == '}' || c == ']' {
		return c
	}
	s.at++
	s.space()
	return s.raw[s.at]
}

func (s *scanner) space() {
	for s.at < len(s.raw) && bytes.IndexByte([]byte(" \t\r\n"), s.raw[s.at]) >= 0 {
		s.at++
	}
}

// value goes over the value that begins here and returns it.
func (s *scanner) value() json.RawMessage {
	from, depth := s.at, 0
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case '"':
			s.quoted()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			if depth == 0 {
				return s.raw[from:s.at] // the end of what a number or word stood in
			}
			depth--
			s.at++
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return s.raw[from:s.at]
			}
			s.at++
			continue
		default:
			s.at++
			continue
		}
		if depth == 0 {
			return s.raw[from:s.at]
		}
	}
	return s.raw[from:]
}

// quoted goes over a string.
func (s *scanner) quoted() {
	for s.at++; s.raw[s.at] != '"'; s.at++ {
		if s.raw[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
}

// Elements splits an array.
func Elements(array json.RawMessage) []json.RawMessage {
	var all []json.RawMessage
	s := scanner{raw: array}
	for s.next() != ']' {
		all = append(all, s.value())
	}
	return all
}

// unambiguous looks for duplicate names inside of a value.
func unambiguous(value json.RawMessage, depth int) error {
	switch {
	case depth == 0 && (value[0] == '{' || value[0] == '['):
		return errDeep
	case value[0] == '{':
		s := scanner{raw: value}
		_, err := s.object(depth)
		return err
	case value[0] == '[' && bytes.IndexByte(value, '{') >= 0:
		for _, e := range Elements(value) {
			if err := unambiguous(e, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unquote returns the text of a string.
func Unquote(quoted json.RawMessage) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is a valid string
	return s
}

// Text returns a member that is a string.
func Text(m map[string]json.RawMessage, name string) (string, bool) {
	raw, ok := m[name]
	if !ok || raw[0] != '"' {
		return "", false
	}
	return Unquote(raw), true
}
