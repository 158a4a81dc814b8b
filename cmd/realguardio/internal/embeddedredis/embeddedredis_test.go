package embeddedredis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/embeddedredis"
)

func TestKeysExpireAsTimePasses(t *testing.T) {
	server, err := embeddedredis.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(5 * time.Second)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !errors.Is(client.Get(t.Context(), "k").Err(), redis.Nil) {
		select {
		case <-deadline:
			t.Fatal("the key never expired")
		case <-ticker.C:
		}
	}
}

func TestOthersOnTheMachineAreKeptOut(t *testing.T) {
	server, err := embeddedredis.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.Password, options.Username = "", ""
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.Get(t.Context(), "k").Err(); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("without the password: %v", err)
	}
}
