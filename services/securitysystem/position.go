package securitysystem

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/realguardio/realguardio/services/internal/outbox"
)

// KeyStore keeps the key that positions are encrypted with, one for all replicas.
type KeyStore interface {
	// WatchKey returns the key; the one offered, if there is none yet.
	WatchKey(ctx context.Context, offered []byte) ([]byte, error)
}

// place is where somebody who watches stands: after an event, with the rights of that digest.
type place struct {
	at     outbox.Position
	rights digest
}

// positions writes places so that nobody else can read them, and each time differently: counted, or compared with one
// another, they would tell any customer how much happens at all the others.
type positions struct {
	store KeyStore

	mu     sync.Mutex
	sealer cipher.AEAD
}

const (
	// placeSize is that of a place: two numbers and a digest, in bytes.
	placeSize = 8 + 8 + digestSize
	// positionSize is that of a position before it is encoded. The random nonces are long enough never to be repeated.
	positionSize = chacha20poly1305.NonceSizeX + placeSize + chacha20poly1305.Overhead
)

// ready reads the key when it is first needed. Of those who need it at once each asks for it by themselves: the first of them
// may wait for a database that answers nobody, and the others would wait for them, one after the other.
func (p *positions) ready(ctx context.Context) (cipher.AEAD, error) {
	p.mu.Lock()
	sealer := p.sealer
	p.mu.Unlock()
	if sealer != nil {
		return sealer, nil
	}
	offered := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(offered) // never fails
	key, err := p.store.WatchKey(ctx, offered)
	if err != nil {
		return nil, err
	}
	if sealer, err = chacha20poly1305.NewX(key); err != nil {
		return nil, fmt.Errorf("use the key of positions: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealer = sealer
	return sealer, nil
}

// seal writes a place as a position.
func seal(sealer cipher.AEAD, at place) string {
	out := make([]byte, chacha20poly1305.NonceSizeX, positionSize)
	_, _ = rand.Read(out) // never fails
	plain := make([]byte, 0, placeSize)
	plain = binary.BigEndian.AppendUint64(plain, uint64(at.at.Epoch))
	plain = binary.BigEndian.AppendUint64(plain, uint64(at.at.Sequence))
	plain = append(plain, at.rights[:]...)
	return base64.RawURLEncoding.EncodeToString(sealer.Seal(out, out, plain, nil))
}

// unseal reads a position. It is wellFormed where it could be one of ours, and ours where it is one: of a key that there
// is no more, none is.
func unseal(sealer cipher.AEAD, position string) (at place, wellFormed, ours bool) {
	raw, err := base64.RawURLEncoding.DecodeString(position)
	if err != nil || len(raw) != positionSize {
		return place{}, false, false
	}
	plain, err := sealer.Open(nil, raw[:chacha20poly1305.NonceSizeX], raw[chacha20poly1305.NonceSizeX:], nil)
	if err != nil {
		return place{}, true, false
	}
	at.at = outbox.Position{Epoch: int64(binary.BigEndian.Uint64(plain)), Sequence: int64(binary.BigEndian.Uint64(plain[8:]))}
	copy(at.rights[:], plain[16:])
	return at, true, true
}
