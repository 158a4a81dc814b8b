package jwt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/jose"
)

var errSignature = refused("signature", "the signature does not verify")

const (
	// rememberedForged is how many tokens with a wrong signature are remembered, at about 60 bytes each.
	rememberedForged = 4096
	// toleratedForged is how many of them a second are taken for accidents.
	toleratedForged = 200
	// floodLasts is how long verifying stays bounded after a second with more.
	floodLasts = 2 * time.Second
)

// forgeries keep those who send tokens with wrong signatures, each of which costs as much to check as fifty good ones
// that are remembered, from taking the processors from everybody else.
//
// One that comes again is refused by what was found the first time. While many come that are new, half of the processors
// at most check signatures: who holds a token that is remembered does not notice; who comes with a new one waits in line
// with the forgers. Nothing that strangers send can push a good token out of the cache.
type forgeries struct {
	known [rememberedForged]atomic.Pointer[forgery]
	// slots are held to check a signature while there are too many.
	slots chan struct{}
	// second is the one that wrong counts.
	second, wrong atomic.Int64
	// until is when verifying is no longer bounded, in nanoseconds of the Unix epoch.
	until atomic.Int64
}

// forgery is a token that key did not sign. That never changes, so that it needs no expiry.
type forgery struct {
	digest [sha256.Size]byte
	key    *key
}

func newForgeries() *forgeries {
	return &forgeries{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

func (f *forgeries) slot(digest *[sha256.Size]byte) *atomic.Pointer[forgery] {
	return &f.known[binary.LittleEndian.Uint32(digest[:])%rememberedForged]
}

// check finds out whether k signed a token, unless that is known.
func (f *forgeries) check(ctx context.Context, k *key, token string, jws *jose.JWS, now time.Time) error {
	digest := sha256.Sum256([]byte(token))
	slot := f.slot(&digest)
	if known := slot.Load(); known != nil && known.digest == digest && known.key == k {
		return errSignature
	}
	if now.UnixNano() < f.until.Load() {
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
		case <-ctx.Done():
			return fmt.Errorf("%w: too many tokens are forged: %w", mesh.ErrCannotVerify, ctx.Err())
		}
	}
	if jose.Verified(k.alg, k.public, jws.Signed, jws.Signature) {
		return nil
	}
	slot.Store(&forgery{digest: digest, key: k})
	f.count(now)
	return errSignature
}

// count notes one more, and when there are too many.
func (f *forgeries) count(now time.Time) {
	if second := now.Unix(); f.second.Swap(second) != second {
		f.wrong.Store(0)
	}
	if f.wrong.Add(1) > toleratedForged {
		f.until.Store(now.Add(floodLasts).UnixNano())
	}
}
