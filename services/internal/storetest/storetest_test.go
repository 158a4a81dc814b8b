package storetest_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

func TestEachOpensOneEmptyDatabaseOfItsOwn(t *testing.T) {
	for range 2 {
		storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
			first, second := open(), open()
			if _, err := first.Exec(t.Context(), `CREATE TABLE seen (n BIGINT)`); err != nil {
				t.Fatal("database is not empty: ", err)
			}
			if _, err := second.Exec(t.Context(), `INSERT INTO seen VALUES ($1)`, 1); err != nil {
				t.Fatal("second handle is of another database: ", err)
			}
		})
	}
}

func TestEachRedisStartsAnEmptyServerWhoseKeysExpire(t *testing.T) {
	for range 2 {
		storetest.EachRedis(t, func(t *testing.T, addr string) {
			client := redis.NewClient(&redis.Options{Addr: addr})
			defer client.Close()
			if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
				t.Fatalf("server has %d keys, %v", n, err)
			}
			if err := client.Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for client.Exists(t.Context(), "k").Val() == 1 {
				select {
				case <-tick.C:
				case <-t.Context().Done():
					t.Fatal("key does not expire")
				}
			}
		})
	}
}
