package claims

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

// fields reads claims and keeps the first problem.
type fields struct {
	members map[string]json.RawMessage
	problem string
}

func (f *fields) fail(problem string) {
	if f.problem == "" {
		f.problem = problem
	}
}

func (f *fields) err() error {
	if f.problem == "" {
		return nil
	}
	return Refused("malformed", f.problem)
}

func (f *fields) required(name string) string {
	s, ok := jose.Text(f.members, name)
	if !ok || s == "" {
		f.fail(name + " is missing or not a string")
	}
	return s
}

func (f *fields) optional(name string) string {
	if _, ok := f.members[name]; !ok {
		return ""
	}
	s, ok := jose.Text(f.members, name)
	if !ok {
		f.fail(name + " is not a string")
	}
	return s
}

func (f *fields) list(name string) []string {
	raw, ok := f.members[name]
	if !ok {
		return nil
	}
	if raw[0] != '[' {
		f.fail(name + " is not a list of strings")
		return nil
	}
	var l []string
	for _, e := range jose.Elements(raw) {
		if e[0] != '"' {
			f.fail(name + " is not a list of strings")
			return nil
		}
		l = append(l, jose.Unquote(e))
	}
	return l
}

// audience is a string or a list of strings (RFC 7519, section 4.1.3).
func (f *fields) audience(name string) []string {
	if s, ok := jose.Text(f.members, name); ok {
		return []string{s}
	}
	return f.list(name)
}

// maxActors bounds the chain of actors. Ours is shorter; a longer one is a mistake or an attempt to keep us busy.
const maxActors = 8

// actors reads the chain of "act" claims (RFC 8693, section 4.1), the outermost first.
func (f *fields) actors() []string {
	var chain []string
	for at := f.members; at["act"] != nil; {
		inner, err := jose.Members(at["act"])
		if err != nil || len(chain) == maxActors {
			f.fail("act is not a chain of actors")
			return nil
		}
		sub, ok := jose.Text(inner, "sub")
		if !ok || sub == "" {
			f.fail("act does not say who acts")
			return nil
		}
		chain, at = append(chain, sub), inner
	}
	return chain
}

// thumbprint is the length of a SHA-256 digest in base64url.
const thumbprint = 43

// confirmation reads the one key that the token is bound to, in one of the two ways that are known here. A token that is
// bound in another way, or in two, must not pass for one that is not bound (RFC 7800, section 3.1).
func (f *fields) confirmation() mesh.Confirmation {
	raw, ok := f.members["cnf"]
	if !ok {
		return mesh.Confirmation{}
	}
	m, err := jose.Members(raw)
	if err != nil || len(m) != 1 {
		f.fail("cnf does not name one key")
		return mesh.Confirmation{}
	}
	var c mesh.Confirmation
	c.JKT, _ = jose.Text(m, "jkt")
	c.X5T, _ = jose.Text(m, "x5t#S256")
	if len(c.JKT)+len(c.X5T) != thumbprint {
		f.fail("cnf names a key in a way that is not known here")
	}
	return c
}

// time reads a NumericDate: seconds since the epoch, perhaps with a fraction. Years beyond 9999 and times before the
// epoch are refused, because arithmetic on them overflows.
func (f *fields) time(name string, required bool) time.Time {
	raw, ok := f.members[name]
	if !ok {
		if required {
			f.fail(name + " is missing")
		}
		return time.Time{}
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > 253402300799 {
		f.fail(name + " is not a date")
		return time.Time{}
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9))
}

func (f *fields) integer(name string) int64 {
	raw, ok := f.members[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		f.fail(name + " is not a whole number")
	}
	return n
}
