package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// strict64 refuses padding, other alphabets and stray bits, so that each value has one form (RFC 4648, section 3.5).
var strict64 = base64.RawURLEncoding.Strict()

var errDuplicate = errors.New("a member appears twice")

// decodeObject decodes a base64url segment that holds a JSON object.
func decodeObject(segment string) (map[string]json.RawMessage, error) {
	raw, err := strict64.DecodeString(segment)
	if err != nil {
		return nil, errors.New("it is not base64url")
	}
	return members(raw)
}

// members returns the members of the object that is all of raw, by their exact names. Unlike encoding/json, which lets
// the last of two equal names win, ignores case and repairs bad UTF-8, it refuses what two readers could read
// differently (RFC 7515, section 10.12; RFC 8725, section 2.4), however deep.
func members(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	m := make(map[string]json.RawMessage, 16)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("it is not JSON")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("it is not JSON")
		}
		key, _ := name.(string)
		if _, twice := m[key]; twice {
			return nil, errDuplicate
		}
		if err := unambiguous(value); err != nil {
			return nil, err
		}
		m[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return m, nil
}

// unambiguous looks for duplicate names inside of a value.
func unambiguous(value json.RawMessage) error {
	switch value[0] {
	case '{':
		_, err := members(value)
		return err
	case '[':
		if bytes.IndexByte(value, '{') < 0 {
			return nil
		}
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			return errors.New("it is not JSON")
		}
		for _, e := range elements {
			if err := unambiguous(e); err != nil {
				return err
			}
		}
	}
	return nil
}
