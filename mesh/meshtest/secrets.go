package meshtest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Secrets are what must not come out: passwords, tokens, codes and keys. They are looked for in logs, metrics, traces and
// whatever else leaves a process, in every form in which somebody may have written them. It is safe for concurrent use.
type Secrets struct {
	mu     sync.Mutex
	known  map[string]bool
	pieces map[uint64][]piece
}

// piece is a form of a secret, or of a part of one.
type piece struct {
	text string
	// what says which secret and form.
	what string
}

const (
	// shortest is how many bytes a piece has at least: what is shorter turns up by chance.
	shortest = 8
	// halved is how long a secret is at least of which each half is one too.
	halved = 20
)

// Add remembers a secret, and returns it. Values of less than eight bytes are too short to be looked for.
func (s *Secrets) Add(name, value string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(value) < shortest || s.known[value] {
		return value
	}
	if s.known == nil {
		s.known, s.pieces = map[string]bool{}, map[uint64][]piece{}
	}
	s.known[value] = true
	s.addWithHalves(name, value)
	if parts := strings.Split(value, "."); len(parts) == 3 && strings.HasPrefix(value, "eyJ") {
		// The first part of a JWT says how it was signed, which is no secret.
		s.addWithHalves("payload of "+name, parts[1])
		s.addWithHalves("signature of "+name, parts[2])
	}
	return value
}

// Len is how many secrets are remembered.
func (s *Secrets) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}

func (s *Secrets) addWithHalves(name, value string) {
	s.addForms(name, value)
	if len(value) >= halved {
		s.addForms("first half of "+name, value[:len(value)/2])
		s.addForms("second half of "+name, value[len(value)/2:])
	}
}

func (s *Secrets) addForms(name, value string) {
	quoted, _ := json.Marshal(value) // a string always marshals
	forms := map[string]string{
		"": value, "in hexadecimal": hex.EncodeToString([]byte(value)), "in a query": url.QueryEscape(value),
		"in a path": url.PathEscape(value), "in JSON": strings.Trim(string(quoted), `"`), "in HTML": html.EscapeString(value),
	}
	for name, encoding := range map[string]*base64.Encoding{"in base64": base64.RawStdEncoding, "in base64url": base64.RawURLEncoding} {
		// Within other text, such as after "user:", it begins at any of three places in a group of bytes. What shares a
		// character with its neighbours is cut off.
		for before := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, before), value...))
			end := len(encoded)
			if (before+len(value))%3 != 0 {
				end--
			}
			forms[fmt.Sprint(name, " after ", before)] = encoded[(before*8+5)/6 : end]
		}
	}
	var seen []string
	for form, text := range forms {
		if len(text) < shortest || slices.Contains(seen, text) {
			continue
		}
		seen = append(seen, text)
		key := binary.LittleEndian.Uint64([]byte(text))
		s.pieces[key] = append(s.pieces[key], piece{text, strings.TrimSpace(name + " " + form)})
	}
}

// Find says which secrets stand in text, by name and form, each once.
func (s *Secrets) Find(text []byte) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for at := 0; at+shortest <= len(text); at++ {
		for _, p := range s.pieces[binary.LittleEndian.Uint64(text[at:])] {
			if bytes.HasPrefix(text[at:], []byte(p.text)) && !slices.Contains(found, p.what) {
				found = append(found, p.what)
			}
		}
	}
	slices.Sort(found)
	return found
}

// Absent demands that no secret stands in text, and says where one does without repeating it.
func (s *Secrets) Absent(t testing.TB, where string, text []byte) {
	t.Helper()
	for _, what := range s.Find(text) {
		t.Errorf("%s has the %s", where, what)
	}
}
