package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// object is a JSON object that keeps the order of its members.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

func (o *object) UnmarshalJSON(raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return fmt.Errorf("not an object: %.20s", raw)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var m member
		m.name, _ = name.(string)
		if err := decoder.Decode(&m.value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	return nil
}

// raw is the object as JSON.
func (o object) raw() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// object returns the member of that name, which must be an object.
func (o object) object(name string) (object, error) {
	i := o.index(name)
	if i < 0 {
		return nil, fmt.Errorf("there is no %s", name)
	}
	var inner object
	if err := json.Unmarshal(o[i].value, &inner); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return inner, nil
}

// set replaces a member, or adds it at the end.
func (o *object) set(name string, value json.RawMessage) {
	if i := o.index(name); i >= 0 {
		(*o)[i].value = value
		return
	}
	*o = append(*o, member{name, value})
}

// setAfter is set, but adds right after another member.
func (o *object) setAfter(other, name string, value json.RawMessage) {
	if o.index(name) >= 0 {
		o.set(name, value)
		return
	}
	*o = slices.Insert(*o, o.index(other)+1, member{name, value})
}

// encode writes a value without escaping what only HTML would mind.
func encode(value any) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Sprintf("encode %T: %v", value, err)) // the types here always encode
	}
	return bytes.TrimSpace(b.Bytes())
}
