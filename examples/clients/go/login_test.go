package main

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.org/stand"
)

// TestLogin runs the program, unmodified, beside a person who opens the address that it prints.
func TestLogin(t *testing.T) {
	s := stand.Open(t)
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := login(t.Context(), s.Issuer, "demo-mobile", in)
		in.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	arrived := s.Person(t, "mary").Open(strings.TrimPrefix(lines.Text(), "Open ")).SignIn()
	if arrived.Status != http.StatusOK || !strings.Contains(arrived.Text, "close this page") {
		t.Fatalf("arrived at %s: %s", arrived.URL, arrived.Text)
	}
	mary := s.User(t, "mary")
	if want := "Signed in: " + mary.Username + " " + mary.Subject; !lines.Scan() || lines.Text() != want {
		t.Errorf("printed %q, want %q", lines.Text(), want)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
