// Package live turns RPCs that stream to their caller into server-sent events (HTML, section 9.2), so that a browser sees
// changes as they happen.
//
// It goes on while the credential of whoever asked is renewed, unnoticed by them, and ends with it. Who may be told what is
// decided by the service, event by event.
package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway/places"
	"github.com/realguardio/realguardio/gateway/problem"
)

// Caller is who sent a request, by a credential that is good now.
type Caller struct {
	// Token is what the service is shown. Another one means that it was renewed.
	Token string
	// Key tells callers apart.
	Key string
	// Person is whose places are taken, by whichever of their sessions or applications.
	Person string
	// Speaking puts the token into the context of a call.
	Speaking func(context.Context) context.Context
	// Again tells who sent the request as time goes on. Nil where the credential is good for one call only.
	Again func() (Caller, error)
}

// Upstream is a connection and the services that are reached over it.
type Upstream struct {
	// Conn must have been dialled with mesh.PerCall or mesh.PerCallBound.
	Conn     grpc.ClientConnInterface
	Services []protoreflect.ServiceDescriptor
}

// Config says what [Events] serve.
type Config struct {
	Upstreams []Upstream
	// Caller tells who sent a request, and may put something into the headers of the answer. Required. Its Again is asked at
	// every Heartbeat, and when the service no longer takes the token.
	Caller func(http.Header, *http.Request) (Caller, error)
	// Admit may refuse a caller who wants to listen. Default: nobody is.
	Admit    func(Caller) error
	Problems problem.Writer
	// Heartbeat is how often something is sent while nothing happens, so that no proxy takes the connection for dead. It must
	// be shorter than what a credential still lives when it is renewed. Default: 10 seconds.
	Heartbeat time.Duration
	// Places are for who listens: they share connections to the services with all other calls. Required.
	Places *places.Places
}

// Events serves the RPCs that stream to their caller and whose REST form is a GET.
type Events struct {
	cfg    Config
	routes []Route
	// closing ends when no more events are to be sent.
	closing context.Context
	close   context.CancelFunc
}

// Route is the path of one RPC.
type Route struct {
	Path  string
	Serve http.HandlerFunc
}

// method is an RPC and where it is.
type method struct {
	name       string
	descriptor protoreflect.MethodDescriptor
	conn       grpc.ClientConnInterface
}

// New finds the RPCs among the services.
func New(cfg Config) (*Events, error) {
	if cfg.Caller == nil || cfg.Places == nil {
		return nil, errors.New("live: Caller and Places are required")
	}
	if cfg.Admit == nil {
		cfg.Admit = func(Caller) error { return nil }
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 10 * time.Second
	}
	e := &Events{cfg: cfg}
	e.closing, e.close = context.WithCancel(context.Background())
	for _, u := range cfg.Upstreams {
		for _, service := range u.Services {
			for i := range service.Methods().Len() {
				if err := e.add(u.Conn, service.Methods().Get(i)); err != nil {
					return nil, err
				}
			}
		}
	}
	return e, nil
}

func (e *Events) add(conn grpc.ClientConnInterface, descriptor protoreflect.MethodDescriptor) error {
	rule, _ := proto.GetExtension(descriptor.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !descriptor.IsStreamingServer() || rule == nil {
		return nil
	}
	path := rule.GetGet()
	if path == "" || descriptor.IsStreamingClient() || strings.ContainsAny(path, "{*") {
		return fmt.Errorf("live: %s: the REST form of an RPC that streams is a GET of a fixed path", descriptor.FullName())
	}
	m := method{"/" + string(descriptor.Parent().FullName()) + "/" + string(descriptor.Name()), descriptor, conn}
	e.routes = append(e.routes, Route{path, func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, m) }})
	return nil
}

// Routes are the paths, as the protos say them.
func (e *Events) Routes() []Route { return e.routes }

// Close ends all events that are being sent, and those to come.
func (e *Events) Close() { e.close() }
