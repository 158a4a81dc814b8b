package live

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/mesh"
)

const (
	// writeTime is how long a browser may take to accept what is sent.
	writeTime = 10 * time.Second
	// comeBack is when a browser whose connection broke tries again, in milliseconds.
	comeBack = "2000"
)

// listener is one request for events.
type listener struct {
	*Events
	method
	r      *http.Request
	out    *writer
	caller Caller
	// position is that of the last event: where another call goes on.
	position string
	// recalled is true while position is what a browser says by itself. It cannot say otherwise, so that one which is not
	// understood must not be refused: after any status but 200 it never comes back, and after that it says the same again
	// (HTML, section 9.2.3).
	recalled bool
}

func (e *Events) serve(w http.ResponseWriter, r *http.Request, m method) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(e.closing, cancel)()
	r = r.WithContext(ctx)
	l := &listener{Events: e, method: m, r: r, out: newWriter(w)}
	var err error
	if l.position, err = l.asked(); err == nil {
		l.caller, err = e.cfg.Caller(w.Header(), r)
	}
	if err == nil {
		err = e.cfg.Admit(l.caller)
	}
	var leave func()
	if err == nil {
		var ok bool
		if leave, ok = e.cfg.Places.Take(l.caller.Person); !ok {
			err = mesh.ResourceExhausted(problem.ReasonTooMany, 5*time.Second)
		}
	}
	if err != nil {
		e.cfg.Problems.Write(w, r, err)
		return
	}
	defer leave()
	err = l.listen(ctx)
	switch {
	case ctx.Err() != nil:
	case !l.out.begun:
		e.cfg.Problems.Write(w, r, err)
	default:
		l.farewell(err)
	}
}

// asked is where the caller wants to go on: what a browser says by itself when it comes back, or the field of the request.
func (l *listener) asked() (string, error) {
	query := l.r.URL.Query()
	position := query.Get("position")
	for name := range query {
		if name != "position" || l.descriptor.Input().Fields().ByName("position") == nil {
			return "", mesh.InvalidField(name[:min(len(name), 64)], "is not a parameter of this request")
		}
	}
	if last := l.r.Header["Last-Event-Id"]; len(last) > 0 {
		if position, l.recalled = last[0], true; !printable(position) {
			return "", nil // as if it had not said so
		}
	}
	if !printable(position) {
		return "", mesh.InvalidField("position", "must be printable ASCII")
	}
	return position, nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// listen sends what the service says for as long as the caller's credential is good, by as many calls as it takes.
func (l *listener) listen(ctx context.Context) error {
	for {
		renewed, err := l.call(ctx)
		if status.Code(err) == codes.InvalidArgument && l.recalled {
			l.position, l.recalled = "", false // from now, which tells the browser to look at everything again
			continue
		}
		if renewed || status.Code(err) == codes.Unauthenticated && mesh.Reason(err) != mesh.ReasonStepUp {
			// The token is another by now, or has ended: is there one to go on with?
			before := l.caller.Token
			if err := l.renew(); err != nil {
				return err
			}
			if renewed || l.caller.Token != before {
				continue
			}
		}
		return err
	}
}

// renew asks who the caller is now. Somebody else is nobody.
func (l *listener) renew() error {
	if l.caller.Again == nil {
		return nil
	}
	now, err := l.caller.Again()
	if err == nil && now.Key != l.caller.Key {
		err = mesh.Unauthenticated(mesh.ReasonUnauthenticated)
	}
	if err == nil {
		l.caller = now
	}
	return err
}

// call makes one call to the service and sends its answers. It reports that the caller's token was renewed, so that it is time
// for the next call, or how the call ended.
func (l *listener) call(ctx context.Context) (renewed bool, err error) {
	ctx, cancel := context.WithCancel(l.caller.Speaking(ctx))
	answers, ended := make(chan protoreflect.Message), make(chan error, 1)
	go func() { ended <- l.receive(ctx, answers) }()
	defer func() {
		cancel()
		if ended != nil {
			<-ended
		}
	}()
	beat := time.NewTicker(l.cfg.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case answer := <-answers:
			if err := l.send(answer); err != nil {
				return false, err
			}
		case err := <-ended:
			ended = nil
			return false, err
		case <-beat.C:
			token := l.caller.Token
			// What cannot be told now ends nothing: the service looks at the token by itself.
			if err := l.renew(); err != nil && problem.Of(err).Status == http.StatusUnauthorized {
				return false, err
			}
			if l.caller.Token != token {
				return true, nil
			}
			if err := l.out.write(": \n\n"); err != nil {
				return false, err
			}
		}
	}
}

// receive hands over the answers of one call until it ends.
func (l *listener) receive(ctx context.Context, answers chan<- protoreflect.Message) error {
	request := newMessage(l.descriptor.Input())
	if field := l.descriptor.Input().Fields().ByName("position"); field != nil {
		request.Set(field, protoreflect.ValueOfString(l.position))
	}
	stream, err := l.conn.NewStream(ctx, serverStream, l.name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request.Interface()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		answer := newMessage(l.descriptor.Output())
		if err := stream.RecvMsg(answer.Interface()); err != nil {
			return err
		}
		select {
		case answers <- answer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send sends an answer as an event, under its position. An answer that says no more than its position is not shown again
// where the events go on in another call.
func (l *listener) send(answer protoreflect.Message) error {
	if field := l.descriptor.Output().Fields().ByName("position"); field != nil {
		l.position, l.recalled = answer.Get(field).String(), false
	}
	data, err := marshal(answer)
	if err != nil {
		return err
	}
	event := "data: " + string(data) + "\n\n"
	if l.position != "" {
		event = "id: " + l.position + "\n" + event
	}
	return l.out.write(event)
}

// farewell says why there are no more events.
func (l *listener) farewell(err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	document := problem.Of(err)
	document.RequestID = mesh.RequestID(l.r.Context())
	data, marshalErr := json.Marshal(document)
	if marshalErr == nil {
		_ = l.out.write("event: end\ndata: " + string(data) + "\n\n") // who does not read it any more need not know
	}
}
