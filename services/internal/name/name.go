// Package name says what may be shown as the name of a person or a thing. Names are chosen by people and read by others, in
// pages, mails and logs: one that looks like another text than it is, or like nothing, is refused where it is given.
package name

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem says what is wrong with a name, in words for whoever gave it, or "".
func Problem(name string) string {
	switch {
	case !utf8.ValidString(name):
		return "must be valid text"
	case strings.ContainsFunc(name, unicode.IsControl), strings.ContainsFunc(name, lineBreak):
		return "must not contain control characters"
	case strings.ContainsFunc(name, misleading), !joinersJoin(name):
		return "must not contain characters that cannot be seen or that turn text around"
	case !strings.ContainsFunc(name, visible):
		return "must have something to see"
	case name != strings.TrimSpace(name):
		return "must not begin or end with a space"
	}
	return ""
}

func lineBreak(r rune) bool { return unicode.In(r, unicode.Zl, unicode.Zp) }

// misleading tells of characters that change how others are read without being seen: marks of direction, zero-width
// spaces, tags, and letters that are drawn as nothing.
func misleading(r rune) bool {
	switch r {
	case zeroWidthJoiner, zeroWidthNonJoiner:
		return false // see joinersJoin
	case '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800':
		return true
	}
	return unicode.In(r, unicode.Bidi_Control, unicode.Cf, unicode.Co, unicode.Cs, unicode.Noncharacter_Code_Point)
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// joinersJoin reports whether each joiner stands between characters, never at an end or beside another one: Persian,
// Indic scripts and emoji need them there.
func joinersJoin(name string) bool {
	before := ' '
	for _, r := range name + " " {
		joiner := before == zeroWidthJoiner || before == zeroWidthNonJoiner
		if joiner && !joins(r) || (r == zeroWidthJoiner || r == zeroWidthNonJoiner) && !joins(before) {
			return false
		}
		before = r
	}
	return true
}

// joins tells of characters beside which a joiner means something. No name in Latin letters needs one.
func joins(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.So, unicode.Sk) && !unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic)
}

func visible(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.S, unicode.P) }
