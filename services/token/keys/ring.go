package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// reloadEvery is how soon a key that another replica made is seen here.
const reloadEvery = 30 * time.Second

// Ring is the set of keys in use. It is safe for concurrent use; it answers from memory, so that a database that is down
// keeps nobody from verifying.
type Ring struct {
	store Store
	seal  sealer
	now   func() time.Time
	log   *slog.Logger
	set   atomic.Pointer[set]
}

// set is one immutable state of the ring.
type set struct {
	byID   map[string]*key
	active map[Alg]*key
	jwks   []byte
}

// Open loads the keys of store, making those that are missing. kek has 32 bytes. It fails when a stored key cannot be
// opened with kek, rather than go on with new ones.
func Open(ctx context.Context, store Store, kek []byte, now func() time.Time, log *slog.Logger) (*Ring, error) {
	s, err := newSealer(kek)
	if err != nil {
		return nil, err
	}
	r := &Ring{store: store, seal: s, now: now, log: log}
	current, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	made := false
	for _, alg := range Algs {
		if current.active[alg] != nil {
			continue
		}
		record, err := generate(s, alg, now())
		if err != nil {
			return nil, err
		}
		if err := store.AddKey(ctx, record); err != nil {
			return nil, fmt.Errorf("storing a signing key: %w", err)
		}
		made = true
	}
	if made {
		if current, err = r.load(ctx); err != nil {
			return nil, err
		}
	}
	r.set.Store(current)
	return r, nil
}

// Run reloads the keys from time to time until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		next, err := r.load(ctx)
		if err != nil {
			r.log.WarnContext(ctx, "signing keys could not be reloaded; the known ones stay in use", "error", err)
			continue
		}
		r.set.Store(next)
	}
}

// JWKS is the JSON Web Key Set of the public halves. The caller must not change it.
func (r *Ring) JWKS() []byte { return r.set.Load().jwks }

func (r *Ring) load(ctx context.Context) (*set, error) {
	records, err := r.store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the signing keys: %w", err)
	}
	next := &set{byID: map[string]*key{}, active: map[Alg]*key{}}
	document := struct {
		Keys []any `json:"keys"`
	}{Keys: []any{}}
	for _, record := range records {
		k, err := load(r.seal, record)
		if err != nil {
			return nil, err
		}
		next.byID[k.id] = k
		if k.active {
			next.active[k.alg] = k
		}
		document.Keys = append(document.Keys, k.public)
	}
	if next.jwks, err = json.Marshal(document); err != nil {
		return nil, fmt.Errorf("publishing the signing keys: %w", err)
	}
	return next, nil
}

var errNoKey = errors.New("no active signing key")
