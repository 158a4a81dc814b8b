// Package password hashes and checks passwords with Argon2id (RFC 9106), at a bounded rate. It does not know whose they
// are, nor how often somebody may try: that is package account's.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Bounds of what is hashed at all. The upper one keeps a request from buying unbounded work.
const (
	MinLength = 8
	MaxLength = 1024
)

var (
	// ErrBusy says that too many passwords are being checked at this moment; the caller may try again shortly.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrLength says that a new password is shorter than MinLength or longer than MaxLength bytes.
	ErrLength = fmt.Errorf("a password has %d to %d bytes", MinLength, MaxLength)
)

// Params are Argon2id's costs.
type Params struct {
	MemoryKiB   uint32
	Iterations  uint32
	Parallelism uint8
}

// Default is OWASP's first recommendation: 19 MiB, two passes, one lane.
var Default = Params{MemoryKiB: 19 * 1024, Iterations: 2, Parallelism: 1}

const (
	saltLen = 16
	keyLen  = 32
)

// Hasher hashes and verifies. It is safe for concurrent use; at most a fixed number of hashes runs at once, so that a
// flood of log-ins costs a known amount of memory and leaves the processor to others.
type Hasher struct {
	params  Params
	running chan struct{}
	waiting chan struct{}
	dummy   string
}

// New returns a Hasher that makes hashes with params and runs at most concurrent at once (one for each processor if not
// positive: more would take memory and not time). Sixteen times as many may wait; more get ErrBusy.
func New(params Params, concurrent int) *Hasher {
	if concurrent <= 0 {
		concurrent = runtime.GOMAXPROCS(0)
	}
	h := &Hasher{
		params:  params,
		running: make(chan struct{}, concurrent),
		waiting: make(chan struct{}, concurrent*17),
	}
	h.dummy = h.encode(make([]byte, saltLen), make([]byte, keyLen))
	return h
}

// Hash returns the PHC string of a new password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) < MinLength || len(password) > MaxLength {
		return "", ErrLength
	}
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails (crypto/rand since Go 1.24)
	var key []byte
	err := h.bounded(ctx, func() { key = derive(password, salt, h.params, keyLen) })
	if err != nil {
		return "", err
	}
	return h.encode(salt, key), nil
}

// Verify reports whether password is the one that phc was made from, and whether phc was made with other costs than
// today's, so that it should be replaced. An empty phc takes as long as a real one and is never matched: an account that
// does not exist cannot be told from one that does.
func (h *Hasher) Verify(ctx context.Context, password, phc string) (matched, outdated bool, err error) {
	known := phc != ""
	if !known {
		phc = h.dummy
	}
	params, salt, want, err := decode(phc)
	if err != nil {
		return false, false, err
	}
	if len(password) > MaxLength {
		// Too long to be anybody's; hash something all the same, for the time it takes.
		password, known = password[:MaxLength], false
	}
	var got []byte
	if err := h.bounded(ctx, func() { got = derive(password, salt, params, uint32(len(want))) }); err != nil {
		return false, false, err
	}
	equal := subtle.ConstantTimeCompare(got, want) == 1
	return known && equal, params != h.params, nil
}

func (h *Hasher) bounded(ctx context.Context, hash func()) error {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return ErrBusy
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to hash a password: %w", ctx.Err())
	}
	hash()
	return nil
}

// prepared is a password as every keyboard types it: what looks the same may be entered as one character or as several, and
// its spaces may be of several kinds (RFC 8265, section 4.2.2).
func prepared(password string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, password))
}

func derive(password string, salt []byte, p Params, length uint32) []byte {
	return argon2.IDKey([]byte(prepared(password)), salt, p.Iterations, p.MemoryKiB, p.Parallelism, length)
}

func (h *Hasher) encode(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.params.MemoryKiB, h.params.Iterations, h.params.Parallelism, b64.EncodeToString(salt), b64.EncodeToString(key))
}

func decode(phc string) (p Params, salt, key []byte, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return Params{}, nil, nil, errors.New("reading a password hash: not an argon2id PHC string")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.MemoryKiB, &p.Iterations, &p.Parallelism); err != nil {
		return Params{}, nil, nil, fmt.Errorf("reading a password hash: parameters: %w", err)
	}
	if p.Iterations == 0 || p.Parallelism == 0 {
		return Params{}, nil, nil, errors.New("reading a password hash: parameters are zero")
	}
	if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return Params{}, nil, nil, fmt.Errorf("reading a password hash: salt: %w", err)
	}
	if key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return Params{}, nil, nil, fmt.Errorf("reading a password hash: key: %w", err)
	}
	if len(key) < 16 {
		return Params{}, nil, nil, errors.New("reading a password hash: key is too short")
	}
	return p, salt, key, nil
}
