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

// limit is for how many certificates something is kept. While one replaces another there are two.
const limit = 3

// Set keeps what was made for the certificates that were asked for last. It is safe for concurrent use.
type Set[T any] struct {
	create func(*tls.Certificate) (T, error)
	finish func(T)

	mu     sync.Mutex
	of     []*made[T] // the last used first
	closed bool
}

// made is what was made for one certificate. It is finished once it is neither kept nor used.
type made[T any] struct {
	certificate [sha256.Size]byte
	it          T
	users       int
	kept        bool
}

// New makes a set. create makes what is kept for a certificate, finish ends it when it is not kept any more and nobody uses it.
func New[T any](create func(*tls.Certificate) (T, error), finish func(T)) *Set[T] {
	return &Set[T]{create: create, finish: finish}
}

// Get returns what is kept for a certificate, made when there is nothing. Who has got it calls release once, when they do not
// use it any more. The error is that of making it, or says that the certificate is empty or the set closed.
func (s *Set[T]) Get(certificate *tls.Certificate) (it T, release func(), err error) {
	if len(certificate.Certificate) == 0 {
		return it, nil, errors.New("there is no certificate")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return it, nil, errors.New("it was closed")
	}
	one, err := s.first(certificate)
	if err != nil {
		return it, nil, err
	}
	one.users++
	return one.it, func() { s.release(one) }, nil
}

// first returns what is kept for a certificate, which is then the last used. The lock is held.
func (s *Set[T]) first(certificate *tls.Certificate) (*made[T], error) {
	digest := sha256.Sum256(certificate.Certificate[0])
	at := slices.IndexFunc(s.of, func(m *made[T]) bool { return m.certificate == digest })
	if at >= 0 {
		one := s.of[at]
		s.of = slices.Insert(slices.Delete(s.of, at, at+1), 0, one)
		return one, nil
	}
	it, err := s.create(certificate)
	if err != nil {
		return nil, err
	}
	one := &made[T]{certificate: digest, it: it, kept: true}
	s.of = slices.Insert(s.of, 0, one)
	if len(s.of) > limit {
		last := s.of[limit]
		s.of = slices.Delete(s.of, limit, limit+1)
		last.kept = false
		s.end(last)
	}
	return one, nil
}

func (s *Set[T]) release(one *made[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.users--
	s.end(one)
}

// end finishes what is neither kept nor used. The lock is held.
func (s *Set[T]) end(one *made[T]) {
	if !one.kept && one.users == 0 {
		s.finish(one.it)
	}
}

// Close ends what is kept, as soon as nobody uses it. There is nothing to be got after it.
func (s *Set[T]) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, one := range s.of {
		one.kept = false
		s.end(one)
	}
	s.of = nil
}
