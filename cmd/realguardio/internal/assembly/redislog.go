package assembly

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogRedis makes log the one that the Redis client library writes to, in place of stderr in a format of its own. It is for
// the whole process, so it is the command's to call, once, before any part is built.
func LogRedis(log *slog.Logger) { redis.SetLogger(redisLog{log}) }

// redisLog takes what the library says: of addresses and faults, never of commands and credentials.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, values ...any) {
	if l.log.Enabled(ctx, slog.LevelWarn) {
		l.log.WarnContext(ctx, "redis", "said", fmt.Sprintf(format, values...))
	}
}
