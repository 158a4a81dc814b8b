// Package rest turns REST requests into gRPC calls, by the HTTP annotations in the protos and the code generated from
// them.
//
// It is handed requests that are already authenticated, and lets nothing else of what came from outside through: of the
// headers only a short list becomes metadata. It calls over real connections, so that the interceptors on both sides run.
package rest

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/mesh"
)

// Register adds the routes of one service that is reached over conn.
type Register func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error

// Service makes a [Register] of the two functions generated for a service:
//
//	rest.Service(customerv1.RegisterCustomerServiceHandlerClient, customerv1.NewCustomerServiceClient)
func Service[C any](register func(context.Context, *runtime.ServeMux, C) error, client func(grpc.ClientConnInterface) C) Register {
	return func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
		return register(ctx, mux, client(conn))
	}
}

// Upstream is a connection and what is reached over it.
type Upstream struct {
	// Conn must have been dialled with mesh.PerCall.
	Conn     grpc.ClientConnInterface
	Register []Register
	Services []protoreflect.ServiceDescriptor
}

// Transcoder is safe for concurrent use.
type Transcoder struct {
	mux      *runtime.ServeMux
	bindings bindings
	problems problem.Writer
}

// New registers the routes of all upstreams. It refuses a REST route to an RPC that its proto does not open to the
// outside.
func New(ctx context.Context, problems problem.Writer, upstreams ...Upstream) (*Transcoder, error) {
	var services []protoreflect.ServiceDescriptor
	for _, u := range upstreams {
		services = append(services, u.Services...)
	}
	bound, err := newBindings(services)
	if err != nil {
		return nil, err
	}
	policies, err := mesh.NewPolicies(services...)
	if err != nil {
		return nil, fmt.Errorf("rest: %w", err)
	}
	for method := range bound {
		if rule, ok := policies.Rule(method); !ok || !rule.Edge {
			return nil, fmt.Errorf("rest: %s has a REST form, but its rule does not say edge", method)
		}
	}
	t := &Transcoder{bindings: bound, problems: problems}
	t.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		runtime.WithIncomingHeaderMatcher(incoming),
		runtime.WithOutgoingHeaderMatcher(nothing),
		runtime.WithOutgoingTrailerMatcher(nothing),
		runtime.WithForwardResponseOption(t.answer),
		runtime.WithErrorHandler(t.refuse),
		runtime.WithRoutingErrorHandler(t.unrouted),
		runtime.WithMiddlewares(answerProbe, t.checked),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		runtime.WithWriteContentLength(),
	)
	for _, u := range upstreams {
		for _, register := range u.Register {
			if err := register(ctx, t.mux, u.Conn); err != nil {
				return nil, fmt.Errorf("rest: registering routes: %w", err)
			}
		}
	}
	return t, nil
}

// forwarded are the headers that a service may see, all of them without authority.
var forwarded = []string{"Accept-Language", "Idempotency-Key"}

func incoming(header string) (string, bool) {
	return strings.ToLower(header), slices.Contains(forwarded, header)
}

// nothing keeps a service's metadata inside.
func nothing(string) (string, bool) { return "", false }

// Serve answers a request on behalf of whom the token speaks for that ctx, otherwise the request's, has (mesh.WithBearer).
// The service is told the request's remote address.
//
// The request that goes on has new headers: what is not copied here, such as Authorization, Cookie, Grpc-Timeout,
// Grpc-Metadata-... and X-Forwarded-For, does not exist behind this point.
func (t *Transcoder) Serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if !jsonBody(r) {
		t.problems.Write(w, r, problem.NotJSON)
		return
	}
	b := newBody(w, r)
	var err error
	if b.ifMatch, err = ifMatch(r); err != nil {
		t.problems.Write(w, r, err)
		return
	}
	onward := r.WithContext(ctx)
	u := *r.URL
	onward.URL, onward.Body, onward.Host = &u, b, ""
	if onward.Header, err = forward(r.Header); err != nil {
		t.problems.Write(w, r, err)
		return
	}
	unversioned(onward.URL)
	t.mux.ServeHTTP(w, onward)
}

// forward copies the headers that go on. What gRPC cannot carry is left out, but for what asks for something to happen
// only once.
func forward(from http.Header) (http.Header, error) {
	to := make(http.Header, len(forwarded)+1)
	for _, name := range forwarded {
		values := from[name]
		switch {
		case len(values) == 0:
		case len(values) == 1 && printable(values[0]):
			to[name] = values
		case name == "Idempotency-Key":
			return nil, mesh.InvalidField(name, "must be one value of printable ASCII")
		}
	}
	return to, nil
}

// printable reports whether a value can be gRPC metadata.
func printable(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' })
}

// jsonBody reports whether the body, if there is one, says that it is JSON.
func jsonBody(r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// ifMatch returns the etag that a request makes its condition, or "".
func ifMatch(r *http.Request) (string, error) {
	given := r.Header["If-Match"]
	if len(given) == 0 || safe(r.Method) || len(given) == 1 && given[0] == "*" {
		return "", nil
	}
	etag := strings.TrimSuffix(strings.TrimPrefix(given[0], `"`), `"`)
	if len(given) > 1 || etag == "" || strings.ContainsAny(etag, `", `) || !printable(etag) {
		return "", mesh.InvalidField("If-Match", `must be one strong etag, such as "abc"`)
	}
	return etag, nil
}

// unversioned makes /api/x what it was pinned to: /api/v1/x.
func unversioned(u *url.URL) {
	rest, ok := strings.CutPrefix(u.Path, "/api/")
	if !ok || versioned(rest) {
		return
	}
	u.Path = "/api/v1/" + rest
	if u.RawPath != "" {
		u.RawPath = "/api/v1/" + strings.TrimPrefix(u.RawPath, "/api/")
	}
}

// versioned reports whether a path begins with v and a number.
func versioned(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	digits, ok := strings.CutPrefix(first, "v")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// answer finishes a success: 201 for what was created, and the resource's etag.
func (t *Transcoder) answer(ctx context.Context, w http.ResponseWriter, response proto.Message) error {
	method, _ := runtime.RPCMethod(ctx)
	b := t.bindings[method]
	if b == nil {
		return nil
	}
	if etag := b.etag(response.ProtoReflect()); etag != "" {
		w.Header().Set("ETag", `"`+etag+`"`)
	}
	if b.creates {
		w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// refuse answers with what a service or the generated code refused. The latter speaks in free text of what it could not
// read, which is not repeated.
func (t *Transcoder) refuse(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	var sent *runtime.HTTPStatusError
	b, _ := r.Body.(*body)
	switch {
	case b != nil && b.err != nil:
		err = b.err
	case errors.As(err, &sent), status.Code(err) == codes.InvalidArgument && mesh.Reason(err) == "":
		err = problem.Malformed
	}
	t.problems.Write(w, r, err)
}

// unrouted answers where no route fits.
func (t *Transcoder) unrouted(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if _, asked := w.(*probe); asked {
		return
	}
	switch httpStatus {
	case http.StatusNotFound:
		t.problems.Write(w, r, problem.NoSuchRoute)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", strings.Join(t.allowed(r), ", "))
		t.problems.Write(w, r, problem.BadMethod)
	default:
		t.problems.Write(w, r, problem.Malformed)
	}
}
