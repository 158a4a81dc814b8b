package meshtest_test

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestASecretIsFoundInEveryForm(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	token := iss.Token(t, meshtest.Claims{})
	head, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	const password = `correct <horse> & "battery" staple`
	var s meshtest.Secrets
	s.Add("token", token)
	s.Add("password", password)
	s.Add("password", password)
	s.Add("initials", "jd")
	if s.Len() != 2 {
		t.Errorf("%d secrets are known", s.Len())
	}
	for name, text := range map[string]string{
		"as it is":                          token,
		"the payload alone":                 payload,
		"the signature alone":               "sig=" + signature,
		"half of the signature":             signature[len(signature)/2:],
		"cut off":                           token[:len(token)*3/4] + "...",
		"in base64":                         base64.StdEncoding.EncodeToString([]byte(password)),
		"in base64 after a user name":       base64.StdEncoding.EncodeToString([]byte("mary@acme.example:" + password)),
		"in base64 after another":           base64.StdEncoding.EncodeToString([]byte("bob:" + password)),
		"in base64 after a third, and more": base64.URLEncoding.EncodeToString([]byte("alice:" + password + " and so on")),
		"in hexadecimal":                    hex.EncodeToString([]byte(password)),
		"in a query":                        "password=" + url.QueryEscape(password),
		"in a path":                         "/" + url.PathEscape(password),
		"in JSON":                           `{"password":"correct \u003chorse\u003e \u0026 \"battery\" staple"}`,
		"in HTML":                           html.EscapeString(password),
		"within other bytes":                "\x00\xff" + password + "\xfe",
	} {
		if len(s.Find([]byte(text))) == 0 {
			t.Errorf("not found: %s", name)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "how a token was signed": head, "another token": iss.Token(t, meshtest.Claims{Subject: "another"})[:len(head)],
		"a word of the password": "the battery of the sensor", "what is too short": "jd",
	} {
		if found := s.Find([]byte(text)); len(found) > 0 {
			t.Errorf("%s: found %v", name, found)
		}
	}
	report := &reporter{TB: t}
	s.Absent(report, "the log", []byte("nothing\n"+password))
	if len(report.errors) == 0 || strings.Contains(strings.Join(report.errors, ""), "horse") {
		t.Errorf("reported %q", report.errors)
	}
}

// reporter is a test that has failed where it was told to.
type reporter struct {
	testing.TB
	errors []string
}

func (r *reporter) Errorf(format string, args ...any) {
	r.errors = append(r.errors, strings.ReplaceAll(format, "%s", "")+strings.Join(words(args), " "))
}

func words(args []any) []string {
	var all []string
	for _, a := range args {
		if s, ok := a.(string); ok {
			all = append(all, s)
		}
	}
	return all
}
