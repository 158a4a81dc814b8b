package page_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/services/internal/page"
)

func TestSize(t *testing.T) {
	for _, test := range []struct {
		name      string
		requested int32
		want      int
	}{
		{"nothing asked for is the default", 0, 50},
		{"less than nothing is the default", -1, 50},
		{"what is asked for", 7, 7},
		{"the most there is", 200, 200},
		{"more than there is", 1 << 30, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := page.Size(test.requested); got != test.want {
				t.Errorf("Size(%d) = %d, want %d", test.requested, got, test.want)
			}
		})
	}
}

func TestCutTellsOfANextPageByTheRowTooMany(t *testing.T) {
	key := func(row string) []string { return []string{row} }
	for _, test := range []struct {
		name       string
		rows, want []string
		next       string
	}{
		{"no rows", nil, nil, ""},
		{"fewer than fit", []string{"a"}, []string{"a"}, ""},
		{"as many as fit", []string{"a", "b"}, []string{"a", "b"}, ""},
		{"one more", []string{"a", "b", "c"}, []string{"a", "b"}, page.Encode("things", "b")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, next := page.Cut("things", test.rows, 2, key); !slices.Equal(got, test.want) || next != test.next {
				t.Errorf("got %q and token %q, want %q and %q", got, next, test.want, test.next)
			}
		})
	}
}

func TestATokenIsGoodForItsOwnList(t *testing.T) {
	_, token := page.Cut("customers/cus_1/teams", []string{"a", "b"}, 1, func(row string) []string { return []string{row} })
	if after, err := page.List("customers/cus_1/teams").After(token, 1); err != nil || !slices.Equal(after, []string{"a"}) {
		t.Errorf("its own list: %q, %v", after, err)
	}
	if after, err := page.List("customers/cus_2/teams").After("", 1); err != nil || after != nil {
		t.Errorf("no token: %q, %v", after, err)
	}
	for _, other := range []page.List{"customers/cus_2/teams", "customers/cus_1/grants", "customers", ""} {
		after, err := other.After(token, 1)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "pageToken") {
			t.Errorf("list %q: %q, %v, want INVALID_ARGUMENT that names pageToken", other, after, err)
		}
	}
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	for _, parts := range [][]string{
		{"loc_1"}, {"Acme", "cus_1"}, {"", ""}, {`a "quoted" name`, "<&>"}, {"Straße ☃", "'; DROP TABLE customers; --"},
	} {
		got, err := page.Decode(page.Encode(parts...), len(parts))
		if err != nil || !slices.Equal(got, parts) {
			t.Errorf("Decode(Encode(%q)) = %q, %v", parts, got, err)
		}
	}
	if parts, err := page.Decode("", 2); parts != nil || err != nil {
		t.Errorf(`Decode("") = %q, %v, want the first page`, parts, err)
	}
}

func TestDecodeRefusesWhatEncodeCannotHaveMade(t *testing.T) {
	raw := base64.RawURLEncoding.EncodeToString
	for _, test := range []struct{ name, token string }{
		{"not base64", "%%%"},
		{"padded base64", base64.URLEncoding.EncodeToString([]byte(`["a","bc"]`))},
		{"base64 with stray bits", raw([]byte(`["a","bc"]`))[:13] + "R"},
		{"not JSON", raw([]byte("offset=100"))},
		{"another type", raw([]byte(`{"a":"b"}`))},
		{"numbers", raw([]byte(`[1,2]`))},
		{"null", raw([]byte(`null`))},
		{"a part that is null", raw([]byte(`["a",null]`))},
		{"too few parts", page.Encode("a")},
		{"too many parts", page.Encode("a", "b", "c")},
		{"white space in the JSON", raw([]byte(`["a", "b"]`))},
		{"data after the JSON", raw([]byte(`["a","b"]]`))},
		{"invalid UTF-8", raw([]byte("[\"a\",\"\xff\"]"))},
		{"NUL", page.Encode("a", "\x00")},
	} {
		t.Run(test.name, func(t *testing.T) {
			parts, err := page.Decode(test.token, 2)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "pageToken") {
				t.Errorf("Decode(%q) = %q, %v, want INVALID_ARGUMENT that names pageToken", test.token, parts, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("")
	f.Add(page.Encode("a", "b"))
	f.Fuzz(func(t *testing.T, token string) {
		parts, err := page.Decode(token, 2)
		if err == nil && token != "" && page.Encode(parts...) != token {
			t.Errorf("%q was accepted as %q, which is written %q", token, parts, page.Encode(parts...))
		}
	})
}
