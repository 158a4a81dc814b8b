package securitysystem

import (
	"context"
	"crypto/cipher"
	"errors"
	"time"

	"google.golang.org/grpc"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/outbox"
)

// rightsEvery is how often the rights of who watches are asked for while nothing happens, for all of their streams at once.
// They are asked for again for every change that is told.
const rightsEvery = 600 * time.Millisecond

// watch is one call of WatchSecuritySystems.
type watch struct {
	*Service
	stream grpc.ServerStreamingServer[securitysystemv1.WatchSecuritySystemsResponse]
	caller mesh.Identity
	// shared asks for the rights of the caller.
	shared *watcher
	rights Rights
	// digest is that of the rights.
	digest digest
	// again is when to ask for them again.
	again  *time.Timer
	at     outbox.Position
	sealer cipher.AEAD
}

// WatchSecuritySystems implements SecuritySystemService. That it ends with its caller's token is the guard's doing.
func (s *Service) WatchSecuritySystems(req *securitysystemv1.WatchSecuritySystemsRequest,
	stream grpc.ServerStreamingServer[securitysystemv1.WatchSecuritySystemsResponse],
) error {
	ctx := stream.Context()
	w := &watch{Service: s, stream: stream}
	var err error
	if w.caller, w.rights, err = s.caller(ctx); err != nil {
		return err
	}
	if MayWatch(w.rights) != Allowed {
		return errNothingToWatch()
	}
	w.digest = w.rights.Digest()
	if w.sealer, err = s.positions.ready(ctx); err != nil {
		return s.failure(ctx, err)
	}
	w.shared = s.shared.enter(w.caller)
	defer w.shared.leave()
	w.again = time.NewTimer(rightsEvery)
	defer w.again.Stop()
	if err := w.begin(req.GetPosition()); err != nil {
		return err
	}
	for {
		more, err := w.tell(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		case <-w.again.C:
			// What another stream of theirs has asked for in the meantime is good: from then on both ask together.
			if err := w.check(ctx, s.now().Add(-rightsEvery/2)); err != nil {
				return err
			}
		}
	}
}

func errNothingToWatch() error {
	return mesh.PermissionDenied(mesh.ReasonRoleMissing, "there is no system that you may view")
}

func errUnfollowed() error { return mesh.Unavailable("the stream of changes") }

// begin goes on from a position where that is one of a stream with the same rights, and else from now.
func (w *watch) begin(position string) error {
	from, wellFormed, ours := unseal(w.sealer, position)
	if position != "" && !wellFormed {
		return mesh.InvalidField("position", "must be one that an earlier message has told")
	}
	l, err := w.feed.after(from.at)
	if err != nil {
		return errUnfollowed()
	}
	if ours && l.whole && from.rights == w.digest {
		w.at = from.at
		return w.send(nil)
	}
	w.at = l.at
	return w.listAgain()
}

// tell sends what has happened since the last time, and returns what is closed when there is more.
func (w *watch) tell(ctx context.Context) (more <-chan struct{}, err error) {
	l, err := w.feed.after(w.at)
	if err != nil {
		return nil, errUnfollowed()
	}
	if !l.whole {
		w.at = l.at
		return l.more, w.listAgain()
	}
	// Of several changes to a system only its state after the last is told.
	last := map[string]outbox.Position{}
	for _, e := range l.events {
		if e.system.ID != "" && MayView(w.rights, e.system) == Allowed {
			last[e.system.ID] = e.at
		}
	}
	if len(last) > 0 {
		if err := w.check(ctx, l.read); err != nil {
			return nil, err
		}
	}
	for _, e := range l.events {
		w.at = e.at
		if last[e.system.ID] == e.at && MayView(w.rights, e.system) == Allowed {
			if err := w.show(ctx, e.system.ID); err != nil {
				return nil, err
			}
		}
	}
	return l.more, nil
}

// check learns the caller's rights as of a time or later, ends the stream when none is left, and has the caller list again
// when they are others.
func (w *watch) check(ctx context.Context, since time.Time) error {
	now, err := w.shared.since(ctx, w.caller, since)
	if err != nil {
		return err
	}
	w.again.Reset(rightsEvery - w.now().Sub(now.begun))
	if MayWatch(now.rights) != Allowed {
		return errNothingToWatch()
	}
	if now.digest == w.digest {
		return nil
	}
	w.rights, w.digest = now.rights, now.digest
	return w.listAgain()
}

// show tells of a system as it is now.
func (w *watch) show(ctx context.Context, id string) error {
	system, err := w.systems.Get(ctx, id)
	switch {
	case errors.Is(err, errNoSystem):
		return w.send(&securitysystemv1.WatchSecuritySystemsResponse{
			Change: &securitysystemv1.WatchSecuritySystemsResponse_RemovedSecuritySystemId{RemovedSecuritySystemId: id},
		})
	case err != nil:
		return w.failure(ctx, err)
	}
	return w.send(&securitysystemv1.WatchSecuritySystemsResponse{
		Change: &securitysystemv1.WatchSecuritySystemsResponse_SecuritySystem{SecuritySystem: view(w.caller, w.rights, system)},
	})
}

func (w *watch) listAgain() error {
	return w.send(&securitysystemv1.WatchSecuritySystemsResponse{
		Change: &securitysystemv1.WatchSecuritySystemsResponse_ListAgain{ListAgain: true},
	})
}

// send sends a message with the position, which holds for these rights only, and which only this service can read.
func (w *watch) send(message *securitysystemv1.WatchSecuritySystemsResponse) error {
	if message == nil {
		message = &securitysystemv1.WatchSecuritySystemsResponse{}
	}
	message.Position = seal(w.sealer, place{w.at, w.digest})
	return w.stream.Send(message)
}
