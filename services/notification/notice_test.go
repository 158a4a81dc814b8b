package notification

import (
	"strings"
	"testing"
	"time"
)

func TestTheSubjectSaysItAllInOneLine(t *testing.T) {
	tests := []struct {
		name   string
		notice Notice
		want   string
	}{
		{"an alarm", Notice{Kind: Alarm, LocationName: "Oakland", Alarm: "intrusion"}, "ALARM: Oakland (intrusion)"},
		{"armed", Notice{Kind: Armed, LocationName: "Oakland", Mode: "away"}, "Armed: Oakland (away)"},
		{"disarmed", Notice{Kind: Disarmed, LocationName: "Oakland"}, "Disarmed: Oakland"},
		{"a name with line breaks cannot make another header", Notice{Kind: Disarmed, LocationName: "Oak\r\nBcc: eve@evil.example\nland"},
			"Disarmed: Oak Bcc: eve@evil.example land"},
		{"nor one with other line separators", Notice{Kind: Disarmed, LocationName: "a\u2028b\u0085c\vd\x00e"}, "Disarmed: a b c d e"},
		{"a name cannot turn the line around", Notice{Kind: Disarmed, LocationName: "Oak\u202eland"}, "Disarmed: Oak land"},
		{"a name that is not UTF-8", Notice{Kind: Disarmed, LocationName: "Oak\xffland"}, "Disarmed: Oak land"},
		{"names of other scripts stay", Notice{Kind: Disarmed, LocationName: "Zürich 東京"}, "Disarmed: Zürich 東京"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.notice.Subject(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("a long name is cut", func(t *testing.T) {
		got := Notice{Kind: Disarmed, LocationName: strings.Repeat("ü", 500)}.Subject()
		if n := len([]rune(got)); n != len("Disarmed: ")+120 || !strings.HasSuffix(got, "…") {
			t.Errorf("%d characters: %q", n, got)
		}
	})
}

func TestWhoIsToldOfWhat(t *testing.T) {
	mary, alice := Recipient{UserID: "mary"}, Recipient{UserID: "alice"}
	tests := []struct {
		name string
		kind Kind
		to   Recipient
		want bool
	}{
		{"who arms knows it already", Armed, mary, false},
		{"who disarms knows it already", Disarmed, mary, false},
		{"the others are told of arming", Armed, alice, true},
		{"the others are told of disarming", Disarmed, alice, true},
		{"everybody is told of an alarm", Alarm, alice, true},
		{"also who raised it", Alarm, mary, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := (Notice{Kind: test.kind, ActorID: "mary"}).Concerns(test.to); got != test.want {
				t.Error(got)
			}
		})
	}
}

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	r := Retry{First: time.Second, Longest: 10 * time.Second}.withDefaults()
	for attempts, want := range map[int]time.Duration{0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 6: 10, 1000: 10} {
		want *= time.Second
		for range 50 {
			if got := r.Pause(attempts); got > want || got < want*3/4-1 {
				t.Errorf("after %d attempts: %v, want %v or up to a quarter less", attempts, got, want)
			}
		}
	}
}

func TestAMessageShowsWhatOthersWroteAsText(t *testing.T) {
	w, err := newWriter()
	if err != nil {
		t.Fatal(err)
	}
	n := Notice{
		Kind: Alarm, LocationName: "Oakland <script>alert(1)</script>", Alarm: "intrusion",
		Detail: "Zone 3\r\n\r\nPlease call +1 555 0100", Time: time.Date(2026, 11, 22, 3, 14, 15, 0, time.UTC),
	}
	m, err := w.write(Delivery{ID: "ntf_1", Subject: n.Subject(), Name: "Alice\r\nBcc: x", Address: "alice@acme.example"}, n)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(m.HTML, "<script>") || strings.Contains(m.HTML, "ZgotmplZ") {
		t.Errorf("HTML:\n%s", m.HTML)
	}
	for _, want := range []string{"ALARM at Oakland", "intrusion", "22 November 2026 at 03:14:15 UTC", "Zone 3 Please call"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the text does not say %q:\n%s", want, m.Text)
		}
		if !strings.Contains(m.HTML, want) {
			t.Errorf("the HTML does not say %q:\n%s", want, m.HTML)
		}
	}
	if m.Name != "Alice Bcc: x" {
		t.Errorf("name %q", m.Name)
	}
	for kind, want := range map[Kind]string{
		Armed:    "Mary armed the security system at Oakland (away), ",
		Disarmed: "The application rgk_1 disarmed the security system at Oakland, ",
	} {
		n := Notice{Kind: kind, LocationName: "Oakland", Mode: "away", ActorID: "rgk_1"}
		if kind == Armed {
			n.ActorName = "Mary"
		}
		m, err := w.write(Delivery{}, n)
		if err != nil || !strings.HasPrefix(m.Text, want) {
			t.Errorf("%s: %q, %v", kind, m.Text, err)
		}
	}
}
