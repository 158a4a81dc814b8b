package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// publishedDaily is how long the next key is published before it signs on schedule: longer than anybody caches keys.
	publishedDaily = 24 * time.Hour
	// publishedLead is how long it must be when somebody asks for it now. Other replicas have it within seconds, caches
	// keep the key set for a minute, and verifiers that meet an unknown key fetch the set again, at most every half minute.
	publishedLead = 2 * time.Minute
	// remembered is how long the revocation of a key is. Whoever stole it can write any expiry into a token: it is only
	// the verifiers' copy of the key set that ends, and none is kept for a year.
	remembered = 366 * 24 * time.Hour
)

// ErrUnknown says that there is no such key.
var ErrUnknown = errors.New("no such signing key")

// NotYetError says that a next key must not sign yet: some verifier would not know it.
type NotYetError struct {
	Alg   Alg
	Until time.Time
}

func (e *NotYetError) Error() string {
	return fmt.Sprintf("the next key of %s is published so that every verifier gets it, and may sign from %s on", e.Alg, e.Until.UTC().Format(time.RFC3339))
}

// List returns what is stored, the newest first.
func (r *Ring) List(ctx context.Context) ([]Record, error) {
	records, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(records, func(a, b Record) int { return b.Created.Compare(a.Created) })
	return records, nil
}

// Rotate makes the next key of each of algs the one that signs, and returns those. What was signed before stays good: no
// request fails for it. It is all of them or none: a *NotYetError when one of the next keys is too new.
func (r *Ring) Rotate(ctx context.Context, algs []Alg) ([]Record, error) {
	records, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	var turns []Turn
	for _, alg := range algs {
		t, err := turn(records, alg, r.Now(), publishedLead)
		if err != nil {
			return nil, err
		}
		turns = append(turns, t)
	}
	taken, err := r.take(ctx, turns)
	if err != nil {
		return nil, err
	}
	if !taken { // by somebody who asked for the same a moment ago: the next key is a new one
		return nil, &NotYetError{Alg: algs[0], Until: r.Now().Add(publishedLead)}
	}
	if records, err = r.load(ctx); err != nil {
		return nil, err
	}
	var signing []Record
	for _, alg := range algs {
		if active := find(records, alg, Active); active != nil {
			signing = append(signing, *active)
		}
	}
	return signing, nil
}

// Revoke ends a key that somebody else may have, with everything that it signed. Another one signs from now on. Revoking
// one that is revoked changes nothing; one that is not there is ErrUnknown.
func (r *Ring) Revoke(ctx context.Context, id string) (Record, error) {
	records, err := r.load(ctx)
	if err != nil {
		return Record{}, err
	}
	known := byID(records, id)
	if known == nil {
		return Record{}, ErrUnknown
	}
	now := r.Now()
	spare, err := generate(r.seal, known.Alg, Next, now)
	if err != nil {
		return Record{}, err
	}
	if err := r.Store.RevokeKey(ctx, id, spare, now, now.Add(remembered)); err != nil {
		return Record{}, fmt.Errorf("revoking a signing key: %w", err)
	}
	if records, err = r.load(ctx); err != nil {
		return Record{}, err
	}
	if known = byID(records, id); known == nil {
		return Record{}, ErrUnknown
	}
	return *known, nil
}

// maintain makes next keys that are missing, rotates those whose time has come, and forgets those that are spent. All
// replicas do so; the store lets one of them.
func (r *Ring) maintain(ctx context.Context, records []Record) (changed bool, err error) {
	now := r.Now()
	for _, alg := range Algs {
		active := find(records, alg, Active)
		if active != nil && now.Sub(active.Activated) >= r.Lifetime {
			if t, err := turn(records, alg, now, publishedDaily); err == nil {
				taken, err := r.take(ctx, []Turn{t})
				if err != nil {
					return changed, err
				}
				changed = changed || taken
				continue
			}
		}
		if find(records, alg, Next) == nil {
			if err := r.publish(ctx, alg, now); err != nil {
				return changed, err
			}
			changed = true
		}
	}
	if slices.ContainsFunc(records, func(k Record) bool { return r.spent(k, now) }) {
		if err := r.Store.PurgeKeys(ctx, now.Add(-r.TokensLive)); err != nil {
			return changed, fmt.Errorf("purging signing keys: %w", err)
		}
	}
	return changed, nil
}

// take takes turns, and publishes the keys that are next after these.
func (r *Ring) take(ctx context.Context, turns []Turn) (bool, error) {
	now := r.Now()
	taken, err := r.Store.RotateKeys(ctx, turns, now)
	if err != nil {
		return false, fmt.Errorf("rotating signing keys: %w", err)
	}
	if !taken {
		return false, nil
	}
	for _, t := range turns {
		r.Logger.InfoContext(ctx, "signing key rotated", "alg", t.Alg, "retired", t.From, "active", t.To)
		if err := r.publish(ctx, t.Alg, now); err != nil { // or the next round will
			return true, err
		}
	}
	return true, nil
}

// publish makes the next key of alg.
func (r *Ring) publish(ctx context.Context, alg Alg, now time.Time) error {
	record, err := generate(r.seal, alg, Next, now)
	if err != nil {
		return err
	}
	if err := r.Store.AddKey(ctx, record); err != nil {
		return fmt.Errorf("storing a signing key: %w", err)
	}
	return nil
}

// turn is the next rotation of alg, if its next key has been published for long enough: lead, or for as long as the one
// that signs.
func turn(records []Record, alg Alg, now time.Time, lead time.Duration) (Turn, error) {
	active, next := find(records, alg, Active), find(records, alg, Next)
	switch {
	case active == nil:
		return Turn{}, fmt.Errorf("%w for %s", errNoKey, alg)
	case next == nil: // it is about to be made
		return Turn{}, &NotYetError{Alg: alg, Until: now.Add(lead)}
	case now.Sub(next.Created) < lead && next.Created.After(active.Created):
		return Turn{}, &NotYetError{Alg: alg, Until: next.Created.Add(lead)}
	}
	return Turn{Alg: alg, From: active.ID, To: next.ID}, nil
}

func find(records []Record, alg Alg, status Status) *Record {
	i := slices.IndexFunc(records, func(r Record) bool { return r.Alg == alg && r.Status == status })
	if i < 0 {
		return nil
	}
	return &records[i]
}

func byID(records []Record, id string) *Record {
	i := slices.IndexFunc(records, func(r Record) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &records[i]
}
