// Package vault keeps sealed values in Redis for the gateway.
//
// A value is encrypted with a key that Redis never sees and bound to the place where it lies, and its Redis key is a hash
// of the id that the browser holds, so that a stolen dump opens no session. Every operation ends in bounded time: while
// Redis is away callers learn so at once. What the values mean, and when they end, is the caller's.
package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrNone says that nothing readable lies there: never written, expired, deleted, or sealed with an unknown key.
	ErrNone = errors.New("vault: no such value")
	// ErrChanged says that the value is no longer the one that was read.
	ErrChanged = errors.New("vault: value changed meanwhile")
	// ErrUnavailable says that Redis did not answer as it should. Nothing is known about the value.
	ErrUnavailable = errors.New("vault: redis is unavailable")
)

// Config says where a [Vault] keeps its values.
type Config struct {
	// Redis must honour the context's deadline (ContextTimeoutEnabled). Required.
	Redis redis.UniversalClient
	// Keys are AES-256 keys: the first seals, all of them open, so that keys can be rotated. At least one is required.
	Keys [][]byte
	// Timeout bounds one operation. Default: 1 second.
	Timeout time.Duration
	// Lease is how long a lock outlives a holder that died. Default: 6 seconds.
	Lease time.Duration
	// Now tells the time. Default: time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// Bounded sets what makes a Redis client give up in time: it is what [Config] asks of one. go-redis would else dial five
// times and wait for seconds.
func Bounded(o *redis.Options) *redis.Options {
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = 1, 1
	o.Protocol = 2 // nothing is pushed to us; looking for that costs as much as a read
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Second, time.Second, time.Second, time.Second
	return o
}

// Vault is safe for concurrent use.
type Vault struct {
	redis   redis.UniversalClient
	keys    []sealingKey
	timeout time.Duration
	lease   time.Duration
	breaker breaker
	reads   reads
	logger  *slog.Logger
}

// sealingKey is an AEAD and the four bytes by which its values are told.
type sealingKey struct {
	id   [4]byte
	aead cipher.AEAD
}

// New checks cfg and returns a vault. It does not connect.
func New(cfg Config) (*Vault, error) {
	if cfg.Redis == nil {
		return nil, errors.New("vault: Redis is required")
	}
	if c, ok := cfg.Redis.(*redis.Client); ok && !c.Options().ContextTimeoutEnabled {
		return nil, errors.New("vault: the Redis client must have ContextTimeoutEnabled, or a hanging Redis would hold every request")
	}
	if len(cfg.Keys) == 0 {
		return nil, errors.New("vault: a session key is required")
	}
	v := &Vault{redis: cfg.Redis, timeout: cfg.Timeout, lease: cfg.Lease, logger: cfg.Logger}
	if v.timeout <= 0 {
		v.timeout = time.Second
	}
	if v.lease <= 0 {
		v.lease = 6 * time.Second
	}
	if v.logger == nil {
		v.logger = slog.New(slog.DiscardHandler)
	}
	v.breaker.now = cfg.Now
	if v.breaker.now == nil {
		v.breaker.now = time.Now
	}
	for _, key := range cfg.Keys {
		if len(key) != 32 {
			return nil, fmt.Errorf("vault: a session key has %d bytes, not 32", len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("vault: session key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("vault: session key: %w", err)
		}
		sum := sha256.Sum256(append([]byte("realguardio session key id\x00"), key...))
		v.keys = append(v.keys, sealingKey{id: [4]byte(sum[:4]), aead: aead})
	}
	return v, nil
}

// Key names a value in Redis.
type Key string

// KeyOf is the key for the value of a kind whose secret id is id.
func KeyOf(kind, id string) Key {
	sum := sha256.Sum256([]byte(id))
	return Key("rgg:" + kind + ":" + base64.RawURLEncoding.EncodeToString(sum[:]))
}

// Sealed is a value as it lies in Redis. It serves as the proof of what was read in [Vault.Swap].
type Sealed string

// Read returns the value at key, still sealed. One Redis read.
func (v *Vault) Read(ctx context.Context, key Key) (Sealed, error) {
	raw, err := v.fetch(ctx, &read{key: key})
	return Sealed(raw), err
}

// Holds reports whether the value at key is was, or [ErrNone] where there is none. It is one Redis read too, and a short
// one: it compares only what is made anew each time a value is sealed. Who can write to Redis can hide from it that the
// rest was altered, and gains nothing: what the caller has, and goes on with, was authentic.
func (v *Vault) Holds(ctx context.Context, key Key, was Sealed) (bool, error) {
	if len(was) < headSize {
		return false, nil
	}
	head, err := v.fetch(ctx, &read{key: key, head: true})
	if err == nil && head == "" {
		err = ErrNone
	}
	return head == string(was[:headSize]), err
}

// Open unseals what was read at key.
func (v *Vault) Open(key Key, sealed Sealed) ([]byte, error) { return v.open(key, string(sealed)) }

// Take returns the value at key and removes it: of several callers exactly one gets it.
func (v *Vault) Take(ctx context.Context, key Key) ([]byte, error) {
	var raw string
	err := v.do(ctx, func(ctx context.Context) (err error) {
		raw, err = v.redis.GetDel(ctx, string(key)).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	return v.open(key, raw)
}

// Put writes a value that Redis may forget after ttl.
func (v *Vault) Put(ctx context.Context, key Key, plain []byte, ttl time.Duration) error {
	return v.do(ctx, func(ctx context.Context) error {
		return v.redis.Set(ctx, string(key), string(v.seal(key, plain)), ttl).Err()
	})
}

var swap = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// Swap replaces the value at key if it still is the one that was read, else it returns [ErrChanged]. It is the fence of
// [Vault.Lock]: a holder who lost the lock without noticing cannot overwrite what the next one wrote, nor bring back
// what was deleted.
func (v *Vault) Swap(ctx context.Context, key Key, was Sealed, plain []byte, ttl time.Duration) (Sealed, error) {
	next := v.seal(key, plain)
	var done int
	err := v.do(ctx, func(ctx context.Context) (err error) {
		done, err = swap.Run(ctx, v.redis, []string{string(key)}, string(was), string(next), ttl.Milliseconds()).Int()
		return err
	})
	if err == nil && done == 0 {
		err = ErrChanged
	}
	return next, err
}

// Once reports whether nobody has come for key within ttl before: of any number of callers exactly one is the first.
func (v *Vault) Once(ctx context.Context, key Key, ttl time.Duration) (first bool, err error) {
	err = v.do(ctx, func(ctx context.Context) error {
		return v.redis.SetArgs(ctx, string(key), "1", redis.SetArgs{Mode: "NX", TTL: max(ttl, time.Millisecond)}).Err()
	})
	if errors.Is(err, ErrNone) { // NX found somebody's
		return false, nil
	}
	return err == nil, err
}

// Delete removes the value at key, and reports whether there was one. Removing what is not there is no error.
func (v *Vault) Delete(ctx context.Context, key Key) (removed bool, err error) {
	err = v.do(ctx, func(ctx context.Context) error {
		n, err := v.redis.Del(ctx, string(key)).Result()
		removed = n > 0
		return err
	})
	return removed, err
}

// Index notes under index that there is a value at key. The note may be forgotten ttl after the last one.
func (v *Vault) Index(ctx context.Context, index, key Key, ttl time.Duration) error {
	return v.do(ctx, func(ctx context.Context) error {
		_, err := v.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.SAdd(ctx, string(index), string(key))
			p.PExpire(ctx, string(index), ttl)
			return nil
		})
		return err
	})
}

// Indexed returns the keys noted under index. There may be nothing at some of them any more.
func (v *Vault) Indexed(ctx context.Context, index Key) ([]Key, error) {
	var keys []Key
	err := v.do(ctx, func(ctx context.Context) error {
		names, err := v.redis.SMembers(ctx, string(index)).Result()
		for _, name := range names {
			keys = append(keys, Key(name))
		}
		return err
	})
	return keys, err
}

// Ping asks whether Redis answers.
func (v *Vault) Ping(ctx context.Context) error {
	return v.do(ctx, func(ctx context.Context) error { return v.redis.Ping(ctx).Err() })
}

// do runs one operation in bounded time and translates its error.
func (v *Vault) do(ctx context.Context, op func(context.Context) error) error {
	if !v.breaker.allow() {
		return ErrUnavailable
	}
	opCtx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	err := op(opCtx)
	switch {
	case err == nil:
		v.breaker.record(true)
		return nil
	case errors.Is(err, redis.Nil):
		v.breaker.record(true)
		return ErrNone
	case ctx.Err() != nil: // the caller gave up; that says nothing about Redis
		v.breaker.release()
		return ctx.Err()
	}
	if v.breaker.record(false) {
		v.logger.Error("redis is unavailable", "error", err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// headSize is the length of what stands before the ciphertext: key id and nonce.
const headSize = 4 + 12

// seal encrypts plain for key: key id, nonce, ciphertext.
func (v *Vault) seal(key Key, plain []byte) Sealed {
	k := v.keys[0]
	out := make([]byte, headSize, headSize+len(plain)+k.aead.Overhead())
	copy(out, k.id[:])
	_, _ = rand.Read(out[4:]) // never fails
	return Sealed(k.aead.Seal(out, out[4:], plain, []byte(key)))
}

// open decrypts what seal made for key.
func (v *Vault) open(key Key, raw string) ([]byte, error) {
	for _, k := range v.keys {
		if len(raw) < headSize || raw[:4] != string(k.id[:]) {
			continue
		}
		plain, err := k.aead.Open(nil, []byte(raw[4:headSize]), []byte(raw[headSize:]), []byte(key))
		if err == nil {
			return plain, nil
		}
	}
	v.logger.Warn("a value in redis cannot be opened with the session keys")
	return nil, ErrNone
}
