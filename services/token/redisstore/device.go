package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/token/oauth"
)

func deviceKey(hash string) string   { return "rgt:device:" + hash }
func userCodeKey(hash string) string { return "rgt:usercode:" + hash }

// pollLeeway is how much sooner than it was told a device may come: what was sent five seconds apart does not arrive so.
const pollLeeway = 500 * time.Millisecond

// PutDevice implements oauth.DeviceStore. It is kept twice as long as it is good, for a device to learn that it is not any
// more.
func (s *Store) PutDevice(ctx context.Context, hash, userCode string, d oauth.Device, pollEvery, lifetime time.Duration) (bool, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return false, fmt.Errorf("encoding a device's request: %w", err)
	}
	free, err := s.redis.SetNX(ctx, userCodeKey(userCode), hash, lifetime).Result()
	if err != nil {
		return false, failed("storing a user code", err)
	}
	if !free {
		return false, nil
	}
	_, err = s.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, deviceKey(hash), "device", data, "state", string(d.State), "interval", pollEvery.Milliseconds())
		p.PExpire(ctx, deviceKey(hash), 2*lifetime)
		return nil
	})
	if err != nil {
		return false, failed("storing a device's request", err)
	}
	return true, nil
}

// Device implements oauth.DeviceStore.
func (s *Store) Device(ctx context.Context, hash string) (d oauth.Device, err error) {
	data, err := s.redis.HGet(ctx, deviceKey(hash), "device").Bytes()
	if errors.Is(err, redis.Nil) {
		return oauth.Device{}, oauth.ErrNotFound
	}
	if err != nil {
		return oauth.Device{}, failed("reading a device's request", err)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return oauth.Device{}, fmt.Errorf("decoding a device's request: %w", err)
	}
	return d, nil
}

// DeviceByUserCode implements oauth.DeviceStore.
func (s *Store) DeviceByUserCode(ctx context.Context, userCode string) (string, error) {
	hash, err := s.redis.Get(ctx, userCodeKey(userCode)).Result()
	if errors.Is(err, redis.Nil) {
		return "", oauth.ErrNotFound
	}
	if err != nil {
		return "", failed("reading a user code", err)
	}
	return hash, nil
}

// moveDevice moves a request on if it stands at ARGV[1].
var moveDevice = redis.NewScript(`
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'device', ARGV[3])
if ARGV[4] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1`)

// AnswerDevice implements oauth.DeviceStore.
func (s *Store) AnswerDevice(ctx context.Context, hash string, answered oauth.Device) (bool, error) {
	return s.move(ctx, hash, oauth.DevicePending, answered, 0)
}

// UseDevice implements oauth.DeviceStore.
func (s *Store) UseDevice(ctx context.Context, hash string, used oauth.Device, keep time.Duration) (bool, error) {
	return s.move(ctx, hash, oauth.DeviceAllowed, used, keep)
}

func (s *Store) move(ctx context.Context, hash string, from oauth.DeviceState, to oauth.Device, keep time.Duration) (bool, error) {
	data, err := json.Marshal(to)
	if err != nil {
		return false, fmt.Errorf("encoding a device's request: %w", err)
	}
	n, err := moveDevice.Run(ctx, s.redis, []string{deviceKey(hash)}, string(from), string(to.State), data, keep.Milliseconds()).Int()
	if err != nil {
		return false, failed("moving a device's request on", err)
	}
	if n < 0 {
		return false, oauth.ErrNotFound
	}
	return n == 1, nil
}

var pollDevice = redis.NewScript(`
local known = redis.call('HMGET', KEYS[1], 'interval', 'polled')
if not known[1] then return -1 end
redis.call('HSET', KEYS[1], 'polled', ARGV[1])
if not known[2] or tonumber(ARGV[1]) - tonumber(known[2]) >= tonumber(known[1]) - tonumber(ARGV[3]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'interval', ARGV[2])
return 1`)

// PollDevice implements oauth.DeviceStore.
func (s *Store) PollDevice(ctx context.Context, hash string, now time.Time, longer time.Duration) (tooSoon bool, err error) {
	n, err := pollDevice.Run(ctx, s.redis, []string{deviceKey(hash)}, now.UnixMilli(), longer.Milliseconds(), pollLeeway.Milliseconds()).Int()
	if err != nil {
		return false, failed("counting a device's polls", err)
	}
	if n < 0 {
		return false, oauth.ErrNotFound
	}
	return n == 1, nil
}
