package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// Nonces gives out values that say when they were given out, to who holds the key: a keyed digest of a slot of time. There
// is nothing to store; all replicas with the same keys accept each other's.
type Nonces struct {
	keys [][]byte
	slot time.Duration
}

// NewNonces makes nonces of keys: the first makes them, all are accepted, so that a key can be replaced. A key has at least
// 32 random bytes and no other use. A nonce is accepted for the slot of time in which it was given out and the next.
func NewNonces(slot time.Duration, keys ...[]byte) (*Nonces, error) {
	if len(keys) == 0 || slot < time.Second {
		return nil, errors.New("dpop: nonces need a key, and a slot of at least a second")
	}
	for _, key := range keys {
		if len(key) < 32 {
			return nil, errors.New("dpop: a key of nonces is shorter than 32 bytes")
		}
	}
	return &Nonces{keys: keys, slot: slot}, nil
}

func (n *Nonces) issue(now time.Time) string { return n.at(n.keys[0], now) }

// accepts reports whether nonce was given out in this slot or the one before; or in the one after, by a replica whose
// clock is ahead.
func (n *Nonces) accepts(nonce string, now time.Time) bool {
	if nonce == "" {
		return false
	}
	for _, key := range n.keys {
		for _, at := range []time.Time{now, now.Add(-n.slot), now.Add(n.slot)} {
			if hmac.Equal([]byte(nonce), []byte(n.at(key, at))) {
				return true
			}
		}
	}
	return false
}

func (n *Nonces) at(key []byte, t time.Time) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("dpop nonce"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()/int64(n.slot))))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
