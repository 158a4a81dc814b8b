package dpop

import "testing"

func TestURLsThatNameTheSameHaveTheSameForm(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"as it is", "https://a.example/x/y", "https://a.example/x/y"},
		{"scheme and host in capitals", "HTTPS://A.Example/X", "https://a.example/X"},
		{"the default port of https", "https://a.example:443/", "https://a.example/"},
		{"the default port of http", "http://a.example:80/", "http://a.example/"},
		{"an empty port", "https://a.example:/", "https://a.example/"},
		{"another port", "https://a.example:80/", "https://a.example:80/"},
		{"an IPv6 address", "https://[::1]:8443/", "https://[::1]:8443/"},
		{"no path", "https://a.example", "https://a.example/"},
		{"query and fragment", "https://a.example/x?y=/../z#f", "https://a.example/x"},
		{"dots", "https://a.example/a/b/c/./../../g", "https://a.example/a/g"},
		{"dots at the end", "https://a.example/a/b/..", "https://a.example/a/"},
		{"dots above the root", "https://a.example/../../a", "https://a.example/a"},
		{"escaped dots", "https://a.example/a/%2e%2E/b", "https://a.example/b"},
		{"a name that begins with dots", "https://a.example/.a/..b", "https://a.example/.a/..b"},
		{"an escaped letter", "https://a.example/%7Eu%73er", "https://a.example/~user"},
		{"an escaped slash stays one", "https://a.example/a%2fb", "https://a.example/a%2Fb"},
		{"an escaped percent stays one", "https://a.example/%2541", "https://a.example/%2541"},
		{"an escaped query mark stays one", "https://a.example/a%3fb", "https://a.example/a%3Fb"},
		{"two slashes are not one", "https://a.example//a", "https://a.example//a"},
		{"a method of gRPC", "https://a.example/pkg.v1.Service/Do", "https://a.example/pkg.v1.Service/Do"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := normalise(tt.raw)
			if err != nil || got != tt.want {
				t.Fatalf("%q: got %q, %v; want %q", tt.raw, got, err, tt.want)
			}
			if again, err := normalise(got); err != nil || again != got {
				t.Fatalf("%q becomes %q, %v", got, again, err)
			}
		})
	}
	for _, raw := range []string{"", "/x", "//a.example/x", "mailto:a@example", "https:x", "https://", "https:///x", "https://u@a.example/", "https://u:p@a.example/", "ftp://a.example/", "https://a.example:x/", "https://a.example/%zz", "https://a b/"} {
		if got, err := normalise(raw); err == nil {
			t.Errorf("%q becomes %q", raw, got)
		}
	}
}
