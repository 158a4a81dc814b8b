package jose

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzMembers holds our reading against that of encoding/json.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":"b","c":[1,"x",{"d":null}],"e":{"f":[]}}`, "\t{ \"a\" :\n1 , \"b\" : [ ] }\r\n",
		`{"a":"\"},{"}`, `{"\u0061":1}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`, `{"a":[{"b":1},{"b":1}]}`, `{"a":[[{"b":1,"b":2}]]}`,
		`{"":""}`, `{"a":-1.5e+7,"b":true,"c":false,"d":null}`, `{"a":"\\"}`, `{"a":"\\\""}`, `[]`, `1`, `"a"`, ``, ` `, `{`, `{"a"}`, `{}{}`, "{\"\xff\":1}",
		`{"\ud800":1,"\ufffd":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Members(raw)
		var want map[string]json.RawMessage
		errWant := json.Unmarshal(raw, &want)
		if errors.Is(err, errDuplicate) {
			return // encoding/json lets the last one win
		}
		if err == nil && (errWant != nil || want == nil) {
			t.Fatalf("accepted %q: %v", raw, errWant)
		}
		if err != nil {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: got %d members, want %d", raw, len(got), len(want))
		}
		for name, value := range want {
			if !bytes.Equal(bytes.TrimSpace(got[name]), bytes.TrimSpace(value)) {
				t.Fatalf("%q: %q is %q, want %q", raw, name, got[name], value)
			}
			if value[0] == '[' {
				var list []json.RawMessage
				if json.Unmarshal(value, &list) != nil || len(Elements(got[name])) != len(list) {
					t.Fatalf("%q: %d elements, want %d", value, len(Elements(got[name])), len(list))
				}
			}
		}
	})
}

func TestADuplicateIsFoundHoweverDeep(t *testing.T) {
	for _, raw := range []string{
		`{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"x":{"a":1,"a":2}}`, `{"x":[1,{"a":1,"a":2}]}`, `{"x":[[{"y":{"a":1,"a":2}}]]}`, `{"\ud800":1,"\ufffd":2}`,
	} {
		if _, err := Members([]byte(raw)); !errors.Is(err, errDuplicate) {
			t.Errorf("%s: got %v", raw, err)
		}
	}
	if _, err := Members([]byte(`{"x":{"a":1},"y":{"a":1},"z":[{"a":1},{"a":1}],"A":1,"a":1}`)); err != nil {
		t.Errorf("the same name in different objects: %v", err)
	}
}

// TestNestingIsBounded: what is nested deep is read once a level, so that a few kilobytes would keep us busy.
func TestNestingIsBounded(t *testing.T) {
	for depth, want := range map[int]error{maxDepth - 2: nil, maxDepth - 1: errDeep, 3000: errDeep} {
		for _, brackets := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			raw := `{"a":` + strings.Repeat(brackets[0], depth) + `{}` + strings.Repeat(brackets[1], depth) + `}`
			if _, err := Members([]byte(raw)); !errors.Is(err, want) {
				t.Errorf("%d times %s: got %v, want %v", depth, brackets[0], err, want)
			}
		}
	}
}
