package password

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/realguardio/realguardio/services/token/password/breached"
)

// MinChosen is how many characters a password has that somebody chooses: what NIST SP 800-63B-4 asks where it is the only
// factor. There is no rule about kinds of characters, and no end of validity.
const MinChosen = 15

// WeakError says why a password that somebody has chosen is refused, in words for them.
type WeakError struct{ Reason string }

func (e *WeakError) Error() string { return "the password is refused: " + e.Reason }

// List is a further list of passwords that have leaked; *breached.File is one.
type List interface {
	Has(password string) (bool, error)
}

// Policy decides which passwords people may choose. It is safe for concurrent use.
type Policy struct{ lists []List }

// NewPolicy returns a Policy that refuses what is on the lists too.
func NewPolicy(lists ...List) *Policy { return &Policy{lists} }

// Reasons of WeakErrors.
const (
	reasonShort   = "Use at least 15 characters. A few words that do not belong together are easy to remember."
	reasonLong    = "Use fewer characters: it is longer than 1024 bytes."
	reasonText    = "Use characters that a keyboard can type."
	reasonCommon  = "This is one of the most common passwords, or nearly. Choose one that nobody else would think of."
	reasonLeaked  = "This password has been in a data leak, so that attackers try it. Choose another one."
	reasonPattern = "This repeats itself or follows the keyboard. Choose one that cannot be guessed."
	reasonOwn     = "This is little more than your name or address. Choose one that nobody would connect with you."
)

// minOwn is how much of a password must remain without what is known of its person.
const minOwn = 8

// Check refuses a password by a *WeakError. about is what everybody knows of its person: address, name.
func (p *Policy) Check(password string, about ...string) error {
	if !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl) {
		return &WeakError{reasonText}
	}
	if len(password) > MaxLength {
		return &WeakError{reasonLong}
	}
	password = prepared(password)
	switch folded := strings.ToLower(password); {
	case utf8.RuneCountInString(password) < MinChosen:
		return &WeakError{reasonShort}
	case common(folded):
		return &WeakError{reasonCommon}
	case predictable(folded):
		return &WeakError{reasonPattern}
	case utf8.RuneCountInString(without(folded, about)) < minOwn:
		return &WeakError{reasonOwn}
	}
	for _, list := range p.lists {
		leaked, err := list.Has(password)
		if err != nil {
			return fmt.Errorf("checking a password: %w", err)
		}
		if leaked {
			return &WeakError{reasonLeaked}
		}
	}
	return nil
}

// common tells whether a password is a common one, one with digits and signs around it, or one said several times over.
func common(folded string) bool {
	core := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, form := range []string{folded, core, unit(folded), unit(core)} {
		if breached.Common(form) {
			return true
		}
	}
	return core == "" // digits and signs alone
}

// unit is the shortest text that s is a repetition of.
func unit(s string) string {
	if i := strings.Index((s + s)[min(1, len(s)):], s); i >= 0 && s != "" {
		return s[:i+1]
	}
	return s
}

// rows are what fingers run along.
var rows = []string{"`1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü", "azertyuiop", "йцукенгшщзхъ"}

// minRuns is how many runs a password must have at least: of characters that are the same, or neighbours in the alphabet
// or on the keyboard.
const minRuns = 5

func predictable(folded string) bool {
	runs, before := 1, rune(0)
	for _, r := range folded {
		if before != 0 && !neighbours(before, r) {
			runs++
		}
		before = r
	}
	return runs < minRuns || utf8.RuneCountInString(unit(folded)) < minOwn
}

func neighbours(a, b rune) bool {
	if b-a >= -1 && b-a <= 1 {
		return true
	}
	for _, row := range rows {
		if strings.Contains(row, string([]rune{a, b})) || strings.Contains(row, string([]rune{b, a})) {
			return true
		}
	}
	return false
}

// without takes what is known of a person out of a password.
func without(folded string, about []string) string {
	known := []string{"realguardio"}
	for _, fact := range about {
		fact = strings.ToLower(fact)
		known = append(known, fact)
		known = append(known, strings.FieldsFunc(fact, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	for _, word := range known {
		if utf8.RuneCountInString(word) >= 3 {
			folded = strings.ReplaceAll(folded, word, "")
		}
	}
	return folded
}
