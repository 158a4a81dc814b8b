package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
)

// TestWhatABrowserRecallsIsNeverRefused: a browser that is answered with another status than 200 does not come back. Who says
// a position by themselves is told that it is none.
func TestWhatABrowserRecallsIsNeverRefused(t *testing.T) {
	for name, last := range map[string]string{
		"not a position": "unreadable", "no ASCII": "p\xc3\xa9", "not even text": "p\xff", "a kilobyte": strings.Repeat("unreadable", 100),
	} {
		t.Run(name, func(t *testing.T) {
			w, g, service := liveWorld(t, time.Hour)
			w.backend.watch = func(req *securitysystemv1.WatchSecuritySystemsRequest, stream watchServer) error {
				if strings.HasPrefix(req.GetPosition(), "unreadable") {
					return mesh.InvalidField("position", "must be one that an earlier message has told")
				}
				return service.serve(req, stream)
			}
			b := g.signedIn(t)
			l := b.listen(t, header{"Last-Event-ID": last})
			if l.answer.StatusCode != http.StatusOK {
				t.Fatalf("answered %d", l.answer.StatusCode)
			}
			l.wants("retry: ", `data: {"position":""`)
			service.changes <- "p1"
			l.wants("id: p1")
			if calls := service.calls(); len(calls) != 1 || calls[0].position != "" {
				t.Errorf("the service was asked %v", calls)
			}
			if a := b.get(t, livePath+"?position=unreadable"); a.StatusCode != http.StatusBadRequest {
				t.Errorf("a position that somebody says: %d", a.StatusCode)
			}
		})
	}
}

// TestWhatABrowserRecallsIsNotRefusedLate: by a service that answers after the stream has begun with a heartbeat. A browser whose
// stream ends comes back, with the same that was refused.
func TestWhatABrowserRecallsIsNotRefusedLate(t *testing.T) {
	w, g, service := liveWorld(t, 20*time.Millisecond)
	begun := make(chan struct{})
	w.backend.watch = func(req *securitysystemv1.WatchSecuritySystemsRequest, stream watchServer) error {
		if req.GetPosition() == "unreadable" {
			select {
			case <-begun:
			case <-stream.Context().Done():
			}
			return mesh.InvalidField("position", "must be one that an earlier message has told")
		}
		return service.serve(req, stream)
	}
	l := g.signedIn(t).listen(t, header{"Last-Event-ID": "unreadable"})
	l.wants("retry: ") // by a heartbeat: the service has said nothing
	close(begun)
	l.wants(`data: {"position":""`)
	service.changes <- "p1"
	l.wants("id: p1")
}
