package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/gateway/internal/redistest"
	"github.com/realguardio/realguardio/gateway/vault"
)

func TestReadersThatGiveUpHoldNobodyUp(t *testing.T) {
	redistest.Each(t, func(t *testing.T, server *redistest.Server) {
		// Readers give up here, and not the vault on a Redis that has two thousand to answer on a busy machine.
		patient := *server.Client.Options()
		patient.DialTimeout, patient.ReadTimeout, patient.WriteTimeout, patient.PoolTimeout = time.Minute, time.Minute, time.Minute, time.Minute
		client := redis.NewClient(&patient)
		t.Cleanup(func() { _ = client.Close() })
		v, err := vault.New(vault.Config{Redis: client, Keys: [][]byte{bytes.Repeat([]byte{1}, 32)}, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			if err := v.Put(t.Context(), vault.KeyOf("x", fmt.Sprint(i)), fmt.Append(nil, i), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for i := range 2000 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%3 == 0 {
					go cancel()
				}
				key := vault.KeyOf("x", fmt.Sprint(i%9)) // nothing is at the ninth
				sealed, err := v.Read(ctx, key)
				switch {
				case errors.Is(err, context.Canceled) && i%3 == 0, errors.Is(err, vault.ErrNone) && i%9 == 8:
					return
				case err != nil:
					t.Errorf("read %d: %v", i, err)
					return
				}
				if plain, err := v.Open(key, sealed); err != nil || string(plain) != fmt.Sprint(i%9) {
					t.Errorf("read %d: %q, %v", i, plain, err)
				}
			})
		}
		all.Wait()
	})
}
