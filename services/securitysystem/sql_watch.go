package securitysystem

import (
	"context"
	"encoding/base64"
	"fmt"
)

// WatchKey implements [KeyStore]. Of several replicas that offer a key the database takes one.
func (s sqlStore) WatchKey(ctx context.Context, offered []byte) ([]byte, error) {
	var key string
	err := s.db.QueryRow(ctx, `INSERT INTO watch_key (id, key) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET id = 1 RETURNING key`,
		base64.StdEncoding.EncodeToString(offered)).Scan(&key)
	if err != nil {
		return nil, fmt.Errorf("read the key of positions: %w", err)
	}
	kept, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, fmt.Errorf("decode the key of positions: %w", err)
	}
	return kept, nil
}
