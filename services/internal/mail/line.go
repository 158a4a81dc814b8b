package mail

import (
	"strings"
	"unicode"
)

// maxLine bounds a name in a message, in characters.
const maxLine = 120

// OneLine makes text that others chose safe to stand in a line of its own: a name with line breaks must be able to forge
// neither a header nor another line of the message. What would change how the rest of the line is read goes too.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > maxLine {
		return string(runes[:maxLine-1]) + "…"
	}
	return string(runes)
}
