package sqldb

import "strings"

// writes tells whether a statement may change something: all but SELECT, and WITH that leads to a SELECT. A WITH that
// mentions INSERT, UPDATE or DELETE anywhere, if only in a string, is taken for a write, which is safe.
func writes(query string) bool {
	first, rest := word(query)
	if strings.EqualFold(first, "SELECT") {
		return false
	}
	if !strings.EqualFold(first, "WITH") {
		return true
	}
	for first, rest = word(rest); first != ""; first, rest = word(rest) {
		switch strings.ToUpper(first) {
		case "INSERT", "UPDATE", "DELETE", "REPLACE":
			return true
		}
	}
	return false
}

// word returns the first run of letters, digits and underscores of s, and what follows it.
func word(s string) (first, rest string) {
	start := strings.IndexFunc(s, inWord)
	if start < 0 {
		return "", ""
	}
	s = s[start:]
	end := strings.IndexFunc(s, func(r rune) bool { return !inWord(r) })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func inWord(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
