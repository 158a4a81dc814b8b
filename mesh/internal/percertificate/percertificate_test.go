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
		got, release, err := s.Get(certificate)
		if err == nil {
			release()
		}
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

func TestWhatIsUsedIsFinishedAfterwards(t *testing.T) {
	var finished []string
	s := New(func(c *tls.Certificate) (string, error) { return string(c.Certificate[0]), nil }, func(name string) { finished = append(finished, name) })
	releases := map[string]func(){}
	get := func(name string) (err error) {
		_, releases[name], err = s.Get(&tls.Certificate{Certificate: [][]byte{[]byte(name)}})
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"more than are kept, all in use", func() error { return errors.Join(get("a"), get("b"), get("c"), get("d")) }, nil},
		{"one that is kept is released", func() error { releases["b"](); return nil }, nil},
		{"one that is not kept is released", func() error { releases["a"](); return nil }, []string{"a"}},
		{"the set is closed", func() error { s.Close(); return nil }, []string{"a", "b"}},
		{"the rest is released", func() error { releases["c"](); releases["d"](); return nil }, []string{"a", "b", "c", "d"}},
	} {
		if err := step.do(); err != nil || !slices.Equal(finished, step.want) {
			t.Errorf("%s: finished %v, %v", step.name, finished, err)
		}
	}
	if get("e") == nil {
		t.Error("one is made after the end")
	}
}
