package name_test

import (
	"testing"

	"github.com/realguardio/realguardio/services/internal/name"
)

func TestProblem(t *testing.T) {
	for _, tt := range []struct {
		what, name string
		good       bool
	}{
		{"a name", "Ada Quinn", true},
		{"one of another script", "東京 守", true},
		{"accents, an apostrophe and a hyphen", "Renée O'Neill-Müller", true},
		{"an accent as a character of its own", "Rene\u0301e", true},
		{"Arabic, which runs to the left by itself", "علي", true},
		{"Persian with a joiner inside", "می\u200cخواهم", true},
		{"an emoji that joiners make", "\U0001f469\u200d\U0001f692", true},
		{"a name of one letter", "X", true},
		{"a NUL", "A\x00B", false},
		{"a line break", "A\nB", false},
		{"another line separator", "A\u2028B", false},
		{"text turned around", "Ada \u202equinn", false},
		{"an isolated direction", "Ada\u2066", false},
		{"a zero-width space", "Ad\u200ba", false},
		{"a word joiner", "Ad\u2060a", false},
		{"a byte order mark", "\ufeffAda", false},
		{"a soft hyphen", "A\u00adda", false},
		{"a joiner between Latin letters", "Ad\u200da", false},
		{"a joiner at the end", "علي\u200c", false},
		{"two joiners", "می\u200c\u200cخ", false},
		{"a letter that is drawn as nothing", "\u3164", false},
		{"tags", "Ada\U000e0041", false},
		{"for private use", "Ada\ue000", false},
		{"nothing but a mark", "\u0301", false},
		{"nothing", "", false},
		{"nothing but spaces", "   ", false},
		{"a space at the end", "Ada ", false},
		{"what is no text", "A\xff", false},
	} {
		if got := name.Problem(tt.name); (got == "") != tt.good {
			t.Errorf("%s: %q", tt.what, got)
		}
	}
}
