// Package redisstore keeps in Redis what lives for minutes and is shared by all replicas: codes, login transactions,
// counters of attempts, which assertions and proofs were used, the memory of revoked grants, and nudges. All of it may be lost without anything coming back to
// life; what must not be lost is in sqlstore.
//
// Keys begin with "rgt:". A server that cannot be reached is oauth.ErrUnavailable.
package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// Store is safe for concurrent use.
type Store struct {
	redis redis.UniversalClient
	now   func() time.Time
}

// New returns a Store. now tells the time.
func New(client redis.UniversalClient, now func() time.Time) *Store { return &Store{client, now} }

func failed(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, oauth.ErrUnavailable, err)
}

func codeKey(hash string) string { return "rgt:code:" + hash }

// PutCode implements oauth.CodeStore.
func (s *Store) PutCode(ctx context.Context, hash string, c oauth.Code, lifetime time.Duration) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding a code: %w", err)
	}
	_, err = s.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, codeKey(hash), "code", data)
		p.PExpire(ctx, codeKey(hash), lifetime)
		return nil
	})
	if err != nil {
		return failed("storing a code", err)
	}
	return nil
}

// Code implements oauth.CodeStore.
func (s *Store) Code(ctx context.Context, hash string) (c oauth.Code, taken bool, err error) {
	fields, err := s.redis.HMGet(ctx, codeKey(hash), "code", "taken").Result()
	if err != nil {
		return oauth.Code{}, false, failed("reading a code", err)
	}
	data, ok := fields[0].(string)
	if !ok {
		return oauth.Code{}, false, oauth.ErrNotFound
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return oauth.Code{}, false, fmt.Errorf("decoding a code: %w", err)
	}
	return c, fields[1] != nil, nil
}

var takeCode = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if redis.call('HSETNX', KEYS[1], 'taken', '1') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'code', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)

// TakeCode implements oauth.CodeStore.
func (s *Store) TakeCode(ctx context.Context, hash string, remains oauth.Code, keep time.Duration) (bool, error) {
	data, err := json.Marshal(remains)
	if err != nil {
		return false, fmt.Errorf("encoding a code: %w", err)
	}
	n, err := takeCode.Run(ctx, s.redis, []string{codeKey(hash)}, data, keep.Milliseconds()).Int()
	if err != nil {
		return false, failed("taking a code", err)
	}
	if n < 0 {
		return false, oauth.ErrNotFound
	}
	return n == 1, nil
}

func revokedKey(grant string) string { return "rgt:revoked:" + grant }

// MarkRevoked implements oauth.RevokedGrants.
func (s *Store) MarkRevoked(ctx context.Context, ids []string, keep time.Duration) error {
	_, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.Set(ctx, revokedKey(id), "1", keep)
		}
		return nil
	})
	if err != nil {
		return failed("marking grants as revoked", err)
	}
	return nil
}

// markTimeout bounds the question after a mark, which spares a question to the database and is not worth a wait.
const markTimeout = 250 * time.Millisecond

// MarkedRevoked implements oauth.RevokedGrants.
func (s *Store) MarkedRevoked(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	n, err := s.redis.Exists(ctx, revokedKey(id)).Result()
	if err != nil {
		return false, failed("asking whether a grant is revoked", err)
	}
	return n > 0, nil
}

// UseAssertion implements oauth.AssertionStore.
func (s *Store) UseAssertion(ctx context.Context, hash string, keep time.Duration) (bool, error) {
	return s.once(ctx, "using a client assertion", "rgt:assertion:"+hash, keep)
}

// Use implements dpop.Replays.
func (s *Store) Use(ctx context.Context, key string, until time.Time) (bool, error) {
	keep := until.Sub(s.now())
	if keep < time.Millisecond { // Redis has no shorter life
		keep = time.Millisecond
	}
	return s.once(ctx, "using a DPoP proof", "rgt:dpop:"+key, keep)
}

// once reports whether this is the first time that a key comes up within keep.
func (s *Store) once(ctx context.Context, doing, key string, keep time.Duration) (bool, error) {
	err := s.redis.SetArgs(ctx, key, "1", redis.SetArgs{Mode: "NX", TTL: keep}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, failed(doing, err)
	}
	return true, nil
}

func loginKey(id string) string { return "rgt:login:" + id }

// PutTransaction keeps what a browser is in the middle of, or replaces it, for as long as lifetime.
func (s *Store) PutTransaction(ctx context.Context, id string, data []byte, lifetime time.Duration) error {
	if err := s.redis.Set(ctx, loginKey(id), data, lifetime).Err(); err != nil {
		return failed("storing a login transaction", err)
	}
	return nil
}

// Transaction returns it, or oauth.ErrNotFound.
func (s *Store) Transaction(ctx context.Context, id string) ([]byte, error) {
	return found(s.redis.Get(ctx, loginKey(id)).Bytes())
}

// TakeTransaction returns and removes it: of any number of callers exactly one gets it, the others oauth.ErrNotFound.
func (s *Store) TakeTransaction(ctx context.Context, id string) ([]byte, error) {
	return found(s.redis.GetDel(ctx, loginKey(id)).Bytes())
}

func found(data []byte, err error) ([]byte, error) {
	if errors.Is(err, redis.Nil) {
		return nil, oauth.ErrNotFound
	}
	if err != nil {
		return nil, failed("reading a login transaction", err)
	}
	return data, nil
}

// attemptKey has a hash tag, so that the buckets of one attempt are on one node of a cluster.
func attemptKey(b account.Bucket) string { return "rgt:{attempts}:" + b.Name }

var beginAttempt = redis.NewScript(`
for i, key in ipairs(KEYS) do
	if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[2*i-1]) then
		return math.max(redis.call('PTTL', key), 1)
	end
end
for i, key in ipairs(KEYS) do
	if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, ARGV[2*i]) end
end
return 0`)

// Begin implements account.Attempts.
func (s *Store) Begin(ctx context.Context, buckets []account.Bucket) (time.Duration, error) {
	var keys []string
	var args []any
	for _, b := range buckets {
		keys = append(keys, attemptKey(b))
		args = append(args, b.Limit, b.Window.Milliseconds())
	}
	wait, err := beginAttempt.Run(ctx, s.redis, keys, args...).Int64()
	if err != nil {
		return 0, failed("counting an attempt", err)
	}
	return time.Duration(wait) * time.Millisecond, nil
}

var forgiveAttempt = redis.NewScript(`
for i, key in ipairs(KEYS) do
	if ARGV[i] == 'empty' then
		redis.call('DEL', key)
	elseif tonumber(redis.call('GET', key) or '0') > 0 then
		redis.call('DECR', key)
	end
end
return 0`)

// Forgive implements account.Attempts.
func (s *Store) Forgive(ctx context.Context, buckets []account.Bucket) error {
	var keys []string
	var args []any
	for _, b := range buckets {
		how := "less"
		if b.EmptiedBySuccess {
			how = "empty"
		}
		keys, args = append(keys, attemptKey(b)), append(args, how)
	}
	if err := forgiveAttempt.Run(ctx, s.redis, keys, args...).Err(); err != nil {
		return failed("forgiving an attempt", err)
	}
	return nil
}

const nudgeChannel = "rgt:revocations"

// Nudge implements revocation.Nudges.
func (s *Store) Nudge(ctx context.Context) error {
	if err := s.redis.Publish(ctx, nudgeChannel, "").Err(); err != nil {
		return failed("nudging", err)
	}
	return nil
}

// Await implements revocation.Nudges.
func (s *Store) Await(ctx context.Context, nudged func()) error {
	subscription := s.redis.Subscribe(ctx, nudgeChannel)
	defer subscription.Close()
	// A read that waits for a message does not look at ctx.
	stop := context.AfterFunc(ctx, func() { _ = subscription.Close() })
	defer stop()
	for {
		if _, err := subscription.ReceiveMessage(ctx); err != nil {
			return failed("awaiting nudges", err)
		}
		nudged()
	}
}

// Ping tells whether the server answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return failed("reaching Redis", err)
	}
	return nil
}
