package percertificate

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"
)

func TestWhatWasMadeForTheLastCertificatesIsKept(t *testing.T) {
	var made, finished []string
	s := New(func(c *tls.Certificate) (string, error) {
		name := string(c.Certificate[0])
		if name == "bad" {
			return "", errors.New("bad")
		}
		made = append(made, name)
		return name, nil
	}, func(name string) { finished = append(finished, name) })
	for _, name := range []string{"a", "b", "a", "c", "a", "d", "bad", "b", ""} {
		certificate := &tls.Certificate{Certificate: [][]byte{[]byte(name)}}
		if name == "" {
			certificate = &tls.Certificate{}
		}
		got, err := s.Get(certificate)
		if fails := name == "bad" || name == ""; (err != nil) != fails || !fails && got != name {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
	if want := []string{"a", "b", "c", "d", "b"}; !slices.Equal(made, want) {
		t.Errorf("made %v, want %v", made, want)
	}
	if want := []string{"b", "c"}; !slices.Equal(finished, want) {
		t.Errorf("finished %v, want %v", finished, want)
	}
	s.Close()
	if want := []string{"b", "c", "b", "d", "a"}; !slices.Equal(finished, want) {
		t.Errorf("finished %v in the end, want %v", finished, want)
	}
}
