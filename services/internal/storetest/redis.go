package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

type redisServer struct {
	*process
	addr string
}

func startRedis() (*redisServer, error) {
	program, err := find("redis-server", "apt-get install redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := folder("rgredis")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	p, err := start(dir, "KILL", program, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer client.Close()
	return &redisServer{process: p, addr: addr}, p.await(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return client.Ping(ctx).Err()
	})
}

// freeAddr returns a loopback address that nobody listens on now. Its port is below those that the system gives out: one
// of these might be given to a listener or a connection of another test before the server has it.
func freeAddr() (string, error) {
	for tries := 1; ; tries++ {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000))))
		if err == nil {
			return listener.Addr().String(), listener.Close()
		}
		if tries == 20 {
			return "", fmt.Errorf("find a free port: %w", err)
		}
	}
}
