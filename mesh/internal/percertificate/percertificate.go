// Package percertificate keeps a connection, or what else is made for a certificate, for each of the last certificates.
//
// What is made, and how it ends, its users say.
package percertificate

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
)

// kept is for how many certificates. While one replaces another there are two.
const kept = 3

// Set keeps what was made for the certificates that were asked for last. It is safe for concurrent use.
type Set[T any] struct {
	create func(*tls.Certificate) (T, error)
	finish func(T)

	mu sync.Mutex
	of []made[T] // the last used first
}

type made[T any] struct {
	certificate [sha256.Size]byte
	it          T
}

// New makes a set. create makes what is kept for a certificate, and finish ends it as soon as it is not kept.
func New[T any](create func(*tls.Certificate) (T, error), finish func(T)) *Set[T] {
	return &Set[T]{create: create, finish: finish}
}

// Get returns what is kept for a certificate, made when there is nothing. The error is that of making it, or says that the
// certificate is empty.
func (s *Set[T]) Get(certificate *tls.Certificate) (it T, err error) {
	if len(certificate.Certificate) == 0 {
		return it, errors.New("there is no certificate")
	}
	digest := sha256.Sum256(certificate.Certificate[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.of, func(m made[T]) bool { return m.certificate == digest })
	if at >= 0 {
		one := s.of[at]
		s.of = slices.Insert(slices.Delete(s.of, at, at+1), 0, one)
		return one.it, nil
	}
	if it, err = s.create(certificate); err != nil {
		return it, err
	}
	s.of = slices.Insert(s.of, 0, made[T]{digest, it})
	if len(s.of) > kept {
		s.finish(s.of[kept].it)
		s.of = slices.Delete(s.of, kept, kept+1)
	}
	return it, nil
}

// Close ends what is kept.
func (s *Set[T]) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.of {
		s.finish(m.it)
	}
	s.of = nil
}
