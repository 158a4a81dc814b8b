package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// reloadEvery is how soon what another replica did to the keys is seen here.
const reloadEvery = time.Second

// Bounds of Config.Lifetime. A next key has to be published for a day before it signs.
const (
	DefaultLifetime = 90 * 24 * time.Hour
	minLifetime     = 2 * 24 * time.Hour
	maxLifetime     = 366 * 24 * time.Hour
)

// Config says what a Ring works with. What has no default is required.
type Config struct {
	Store Store
	// KEKs are the key-encryption keys, of 32 bytes each: the first seals, all of them open.
	KEKs [][]byte
	// Lifetime is how long a key signs before the next one does. Default: DefaultLifetime.
	Lifetime time.Duration
	// TokensLive is when the last token that a key signed has expired for everybody.
	TokensLive time.Duration
	Now        func() time.Time
	Logger     *slog.Logger
}

func (c *Config) complete() error {
	c.Lifetime = cmp.Or(c.Lifetime, DefaultLifetime)
	switch {
	case c.Lifetime < minLifetime || c.Lifetime > maxLifetime:
		return errors.New("the lifetime of signing keys must be between two days and 366")
	case c.TokensLive <= 0:
		return errors.New("how long tokens live is missing")
	}
	return nil
}

// Ring is the set of keys in use. It is safe for concurrent use; it answers from memory, so that a database that is down
// keeps nobody from verifying.
type Ring struct {
	Config
	seal sealer
	set  atomic.Pointer[set]
	// loading keeps an older state from replacing a newer one.
	loading sync.Mutex
}

// set is one immutable state of the ring.
type set struct {
	byID   map[string]*key
	active map[Alg]*key
	jwks   []byte
}

// Open loads the keys of the store, making those that are missing. It fails when a stored key cannot be opened, rather
// than go on with new ones.
func Open(ctx context.Context, cfg Config) (*Ring, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s, err := newSealer(cfg.KEKs)
	if err != nil {
		return nil, err
	}
	r := &Ring{Config: cfg, seal: s}
	records, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.reseal(ctx, records); err != nil {
		return nil, err
	}
	if made, err := r.begin(ctx, records); err != nil || !made {
		return r, err
	}
	_, err = r.load(ctx)
	return r, err
}

// begin makes the keys of algorithms that have none. The next one is stored first: who has seen the key that signs has
// seen that one too, so that it may take over at any time.
func (r *Ring) begin(ctx context.Context, records []Record) (made bool, err error) {
	now := r.Now()
	var missing []Record
	for _, alg := range Algs {
		if find(records, alg, Active) == nil {
			missing = append(missing, Record{Alg: alg, Status: Next}, Record{Alg: alg, Status: Active})
		}
	}
	problems := make([]error, len(missing))
	var making sync.WaitGroup
	for i := range missing { // an RSA key takes a while
		making.Go(func() { missing[i], problems[i] = generate(r.seal, missing[i].Alg, missing[i].Status, now) })
	}
	making.Wait()
	if err := errors.Join(problems...); err != nil {
		return false, err
	}
	for _, record := range missing {
		if err := r.Store.AddKey(ctx, record); err != nil {
			return false, fmt.Errorf("storing a signing key: %w", err)
		}
	}
	return len(missing) > 0, nil
}

// reseal encrypts with the first key-encryption key what is sealed with another.
func (r *Ring) reseal(ctx context.Context, records []Record) error {
	for _, record := range records {
		if record.Status == Revoked {
			continue
		}
		plain, outdated, err := r.seal.open(record)
		if err != nil || !outdated {
			continue // load has opened it
		}
		if err := r.Store.ResealKey(ctx, record.ID, record.Sealed, r.seal.seal(plain, record.ID, record.Alg)); err != nil {
			return fmt.Errorf("sealing a signing key anew: %w", err)
		}
		r.Logger.InfoContext(ctx, "signing key sealed with the new key-encryption key", "kid", record.ID)
	}
	return nil
}

// Run follows what other replicas do to the keys, and replaces keys on time, until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	failing := false
	for {
		err := r.follow(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "signing keys could not be reloaded or replaced; the known ones stay in use", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *Ring) follow(ctx context.Context) error {
	records, err := r.load(ctx)
	if err != nil {
		return err
	}
	changed, err := r.maintain(ctx, records)
	if err != nil || !changed {
		return err
	}
	_, err = r.load(ctx)
	return err
}

// JWKS is the JSON Web Key Set of the public halves. The caller must not change it.
func (r *Ring) JWKS() []byte { return r.set.Load().jwks }

// load puts what is stored into use, and returns it.
func (r *Ring) load(ctx context.Context) ([]Record, error) {
	r.loading.Lock()
	defer r.loading.Unlock()
	records, err := r.Store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the signing keys: %w", err)
	}
	next := &set{byID: map[string]*key{}, active: map[Alg]*key{}}
	document := struct {
		Keys []any `json:"keys"`
	}{Keys: []any{}}
	now := r.Now()
	for _, record := range records {
		if record.Status == Revoked || r.spent(record, now) {
			continue
		}
		k, err := r.opened(record)
		if err != nil {
			return nil, err
		}
		next.byID[k.id] = k
		if record.Status == Active {
			next.active[k.alg] = k
		}
		document.Keys = append(document.Keys, k.public)
	}
	if next.jwks, err = json.Marshal(document); err != nil {
		return nil, fmt.Errorf("publishing the signing keys: %w", err)
	}
	r.set.Store(next)
	return records, nil
}

// spent tells whether everything that a key signed has expired.
func (r *Ring) spent(record Record, now time.Time) bool {
	return !record.Retired.IsZero() && now.Sub(record.Retired) > r.TokensLive
}

// opened returns a key that is open already, or opens it.
func (r *Ring) opened(record Record) (*key, error) {
	if old := r.set.Load(); old != nil && old.byID[record.ID] != nil {
		return old.byID[record.ID], nil
	}
	return load(r.seal, record)
}

var errNoKey = errors.New("no active signing key")
