package oauth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// dn is a distinguished name: its parts from the most general to the most particular, as certificates have them, each of
// one or more attributes in a fixed order.
type dn [][]attribute

type attribute struct{ oid, value string }

// attributeTypes are the short names of RFC 4514, section 3, and two that tools print besides.
var attributeTypes = map[string]string{
	"CN": "2.5.4.3", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "STREET": "2.5.4.9", "O": "2.5.4.10",
	"OU": "2.5.4.11", "POSTALCODE": "2.5.4.17", "UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
	"EMAILADDRESS": "1.2.840.113549.1.9.1",
}

var errDN = errors.New("must be a distinguished name such as CN=reports,O=Example,C=US (RFC 4514)")

// parseDN reads the text form of a name (RFC 4514), the most particular part first. Values in hexadecimal are not taken: they
// say the same as text, in a way that nobody can read.
func parseDN(text string) (dn, error) {
	var name dn
	for len(text) > 0 || len(name) == 0 {
		var part []attribute
		for {
			a, rest, end, err := parseAttribute(text)
			if err != nil {
				return nil, err
			}
			part, text = append(part, a), rest
			if end != '+' {
				if end == ',' && text == "" {
					return nil, errDN
				}
				break
			}
		}
		name = append(name, ordered(part))
	}
	slices.Reverse(name)
	return name, nil
}

// parseAttribute reads one attribute, and what ended it: a comma, a plus, or 0 for the end of the text.
func parseAttribute(text string) (a attribute, rest string, end byte, err error) {
	kind, value, ok := strings.Cut(text, "=")
	if !ok {
		return attribute{}, "", 0, errDN
	}
	kind = strings.ToUpper(strings.TrimSpace(kind))
	if a.oid = attributeTypes[kind]; a.oid == "" {
		if a.oid = strings.TrimPrefix(kind, "OID."); !isOID(a.oid) {
			return attribute{}, "", 0, errDN
		}
	}
	a.value, rest, end, err = parseValue(strings.TrimLeft(value, " "))
	return a, rest, end, err
}

func isOID(s string) bool {
	return s != "" && strings.Contains(s, ".") && strings.Trim(s, "0123456789.") == "" && !strings.Contains(s, "..") && s[0] != '.' && s[len(s)-1] != '.'
}

// parseValue reads a value with its escapes. Spaces around it do not belong to it, unless escaped.
func parseValue(text string) (value, rest string, end byte, err error) {
	if text == "" || text[0] == '#' || text[0] == '"' {
		return "", "", 0, errDN
	}
	var b strings.Builder
	kept := 0 // up to there b does not end in spaces that do not count
	i := 0
	for ; i < len(text) && text[i] != ',' && text[i] != '+'; i++ {
		c := text[i]
		switch {
		case strings.IndexByte(`";<>`, c) >= 0:
			return "", "", 0, errDN
		case c != '\\':
			b.WriteByte(c)
			if c != ' ' {
				kept = b.Len()
			}
			continue
		}
		escaped, length := unescape(text[i+1:])
		if length == 0 {
			return "", "", 0, errDN
		}
		b.WriteByte(escaped)
		kept, i = b.Len(), i+length
	}
	if kept == 0 {
		return "", "", 0, errDN
	}
	value = b.String()[:kept]
	if i == len(text) {
		return value, "", 0, nil
	}
	return value, text[i+1:], text[i], nil
}

// unescape reads what follows a backslash: a special character, or two hexadecimal digits. A length of 0 is neither.
func unescape(text string) (c byte, length int) {
	if text == "" {
		return 0, 0
	}
	if strings.IndexByte(` "#+,;<=>\`, text[0]) >= 0 {
		return text[0], 1
	}
	if len(text) >= 2 {
		if raw, err := hex.DecodeString(text[:2]); err == nil {
			return raw[0], 2
		}
	}
	return 0, 0
}

// is tells whether a certificate's subject is this name, to the letter: authorities write a name in one way.
func (n dn) is(subject []byte) bool {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(subject, &sequence); err != nil || len(rest) > 0 || len(sequence) != len(n) {
		return false
	}
	for i, set := range sequence {
		var part []attribute
		for _, one := range set {
			value, ok := one.Value.(string)
			if !ok {
				return false
			}
			part = append(part, attribute{one.Type.String(), value})
		}
		if !slices.Equal(ordered(part), n[i]) {
			return false
		}
	}
	return true
}

// ordered sorts what is a set.
func ordered(part []attribute) []attribute {
	slices.SortFunc(part, func(a, b attribute) int { return strings.Compare(a.oid+"\x00"+a.value, b.oid+"\x00"+b.value) })
	return part
}
