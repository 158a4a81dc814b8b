package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/token/oauth"
)

func pushedKey(id string) string { return "rgt:pushed:" + id }

// PutPushed implements oauth.PushedStore.
func (s *Store) PutPushed(ctx context.Context, id string, p oauth.Pushed, lifetime time.Duration) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding a pushed request: %w", err)
	}
	_, err = s.redis.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, pushedKey(id), "request", data)
		pipe.PExpire(ctx, pushedKey(id), lifetime)
		return nil
	})
	if err != nil {
		return failed("storing a pushed request", err)
	}
	return nil
}

// Pushed implements oauth.PushedStore.
func (s *Store) Pushed(ctx context.Context, id string) (p oauth.Pushed, err error) {
	fields, err := s.redis.HMGet(ctx, pushedKey(id), "request", "browser").Result()
	if err != nil {
		return oauth.Pushed{}, failed("reading a pushed request", err)
	}
	data, ok := fields[0].(string)
	if !ok {
		return oauth.Pushed{}, oauth.ErrNotFound
	}
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		return oauth.Pushed{}, fmt.Errorf("decoding a pushed request: %w", err)
	}
	p.Browser, _ = fields[1].(string) // nil while it is nobody's
	return p, nil
}

var holdPushed = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local browser = redis.call('HGET', KEYS[1], 'browser')
if browser and browser ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'browser', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)

// HoldPushed implements oauth.PushedStore.
func (s *Store) HoldPushed(ctx context.Context, id, browser string, lifetime time.Duration) (bool, error) {
	n, err := holdPushed.Run(ctx, s.redis, []string{pushedKey(id)}, browser, lifetime.Milliseconds()).Int()
	if err != nil {
		return false, failed("holding a pushed request", err)
	}
	return n == 1, nil
}

// TakePushed implements oauth.PushedStore.
func (s *Store) TakePushed(ctx context.Context, id string) (bool, error) {
	n, err := s.redis.Del(ctx, pushedKey(id)).Result()
	if err != nil {
		return false, failed("taking a pushed request", err)
	}
	return n == 1, nil
}
