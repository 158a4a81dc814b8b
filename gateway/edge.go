package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/gateway/ratelimit"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/loopback"
	"github.com/realguardio/realguardio/mesh/telemetry"
	"github.com/realguardio/realguardio/mesh/tracing"
)

// edge is what every HTTP request meets, once, before its route.
type edge struct {
	next     http.Handler
	problems problem.Writer
	trusted  []netip.Prefix
	// vouching are the proxies that may say which certificate their client has shown.
	vouching   []netip.Prefix
	cors       []string
	headers    fixedHeaders
	perAddress *ratelimit.Limiter[netip.Addr]
	metrics    *metrics
	tracer     *tracing.Tracer
	log        *slog.Logger
	now        func() time.Time
}

func (g *Gateway) newEdge(public *url.URL) (http.Handler, error) {
	m, err := newMetrics(g.cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	g.perCaller = ratelimit.New[string](g.cfg.Limits.Caller, g.cfg.Now)
	g.perSignIn = ratelimit.New[string](g.cfg.Limits.SignIn, g.cfg.Now)
	return &edge{
		next: g.newMux(), problems: g.problems, trusted: g.cfg.Proxies.Trusted, vouching: g.cfg.Proxies.Vouching, cors: g.cfg.Origins.CORS, headers: newFixedHeaders(g.cookies.Secure && !loopback.Host(public.Hostname())),
		perAddress: ratelimit.New[netip.Addr](g.cfg.Limits.Address, g.cfg.Now), metrics: m, tracer: g.cfg.Tracer, log: g.cfg.Logger, now: g.cfg.Now,
	}, nil
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := e.now()
	client := e.client(r)
	r = r.WithContext(mesh.WithClientAddress(mesh.WithRequestID(r.Context(), r.Header.Get("X-Request-Id")), client))
	ctx, span := e.tracer.Request(w.Header(), r)
	r = r.WithContext(ctx)
	if len(e.trusted)+len(e.vouching) > 0 { // from here on the remote address and the certificate are the client's, and no proxy's
		r.TLS = e.shown(r)
		r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
	}
	out := &recorder{ResponseWriter: w}
	defer func() { span.Answered(r.Method, r.Pattern, out.code()) }()
	e.headers.addTo(w.Header())
	if len(r.TransferEncoding) > 0 {
		// net/http hides whether a length was given as well, which must end the connection (RFC 9112, section 6.1).
		w.Header().Set("Connection", "close")
	}
	w.Header()["X-Request-Id"] = []string{mesh.RequestID(ctx)}
	defer func() {
		if p := recover(); p != nil {
			e.recovered(out, r, p)
		}
		e.record(out, r, start)
	}()
	if err := e.admit(w.Header(), r, client); err != nil {
		e.problems.Write(out, r, err)
		return
	}
	if r.Method == http.MethodOptions && r.Header.Get("Origin") != "" { // an admitted preflight
		out.WriteHeader(http.StatusNoContent)
		return
	}
	e.next.ServeHTTP(out, r)
}

// fixedHeaders are the same for every answer.
type fixedHeaders struct{ names, values []string }

// newFixedHeaders lists them. Nothing is stored by anyone unless a handler says otherwise. With strict, browsers are told
// to come by https only: for a loopback name that would hold for every other server on their machine.
func newFixedHeaders(strict bool) (h fixedHeaders) {
	add := func(name, value string) { h.names, h.values = append(h.names, name), append(h.values, value) }
	add("Cache-Control", "no-store")
	add("Vary", "Cookie, Authorization")
	add("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	add("X-Content-Type-Options", "nosniff")
	add("Cross-Origin-Resource-Policy", "same-origin")
	if strict {
		add("Strict-Transport-Security", "max-age=63072000")
	}
	return h
}

// addTo gives an answer values of its own, in one allocation; none has room to grow into its neighbour's.
func (f fixedHeaders) addTo(h http.Header) {
	values := slices.Clone(f.values)
	for i, name := range f.names {
		h[name] = values[i : i+1 : i+1]
	}
}

// addPageHeaders adds what goes with every page besides. It means nothing to who reads JSON, and a header costs both
// sides time.
func addPageHeaders(h http.Header) {
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// methods are those that some route may answer.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// routed is what is allowed as far as the edge can tell: which of them a path answers is its route's to say.
const routed = "DELETE, GET, HEAD, PATCH, POST, PUT"

// admit refuses what no route should see.
func (e *edge) admit(h http.Header, r *http.Request, client netip.Addr) error {
	if !slices.Contains(methods, r.Method) {
		h.Set("Allow", routed)
		return problem.BadMethod
	}
	if wait, ok := e.perAddress.Allow(client); !ok {
		return mesh.ResourceExhausted(problem.ReasonRateLimited, wait)
	}
	return e.crossOrigin(h, r)
}

// crossOrigin lets pages of the configured origins use the API with a bearer token. To all others it says nothing, and
// browsers then keep the answer from them; a preflight is refused outright.
func (e *edge) crossOrigin(h http.Header, r *http.Request) error {
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions
	if origin == "" {
		if preflight {
			h.Set("Allow", routed)
			return problem.BadMethod
		}
		return nil
	}
	if !slices.Contains(e.cors, origin) {
		if preflight {
			return errForeignOrigin
		}
		return nil
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "DPoP-Nonce, ETag, Retry-After, Server-Timing, WWW-Authenticate, X-Request-Id")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if preflight {
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP, Idempotency-Key, If-Match, X-Request-Id")
		h.Set("Access-Control-Max-Age", "600")
	}
	return nil
}

var errForeignOrigin = &problem.Error{
	Status: http.StatusForbidden, Code: problem.CSRF.Code, Reason: problem.ReasonCSRF, Detail: "pages of this origin may not call the API",
}

// client is the address that a request comes from. What a proxy says counts only as far as we trust it: of
// X-Forwarded-For the last entry that is not one of our own proxies.
func (e *edge) client(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv6Unspecified()
	}
	client := at.Addr().Unmap().WithZone("")
	said := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(said) {
		if !e.trusts(client) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		client = next.Unmap().WithZone("")
	}
	return client
}

func (e *edge) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(e.trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// recovered answers for a handler that panicked. An aborted answer stays one: net/http closes the connection.
func (e *edge) recovered(out *recorder, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	e.log.ErrorContext(r.Context(), "a handler panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()),
		"request_id", mesh.RequestID(r.Context()), "trace_id", mesh.TraceID(r.Context()))
	if out.status == 0 {
		e.problems.Write(out, r, errPanicked)
	}
}

var errPanicked = &problem.Error{Status: http.StatusInternalServerError, Code: 13, Reason: mesh.ReasonInternal, Detail: "internal error"}

// record writes the access log and the metrics. Of the URL only the path is logged: queries may hold codes.
func (e *edge) record(out *recorder, r *http.Request, start time.Time) {
	took := e.now().Sub(start)
	e.metrics.observe(r.Pattern, r.Method, out.code(), took)
	ctx := r.Context()
	if !e.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	e.log.LogAttrs(ctx, slog.LevelInfo, "http",
		slog.String("method", telemetry.Method(r.Method)), slog.String("path", telemetry.Path(r.URL.Path)), slog.Int("status", out.code()),
		slog.Int64("bytes", out.bytes), slog.Duration("took", took), slog.String("client", clientOf(r)),
		slog.String("request_id", mesh.RequestID(ctx)), slog.String("trace_id", mesh.TraceID(ctx)))
}

// slowly limits how often one address may start what costs others work.
func (g *Gateway) slowly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if wait, ok := g.perSignIn.Allow(clientOf(r)); !ok {
			g.problems.Write(w, r, mesh.ResourceExhausted(problem.ReasonRateLimited, wait))
			return
		}
		next(w, r)
	}
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (o *recorder) WriteHeader(status int) {
	if o.status == 0 && status >= 200 {
		o.begin(status)
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *recorder) begin(status int) {
	o.status = status
	if h := o.Header(); strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		addPageHeaders(h)
	}
}

func (o *recorder) Write(p []byte) (int, error) {
	if o.status == 0 {
		o.begin(http.StatusOK)
	}
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	return n, err
}

func (o *recorder) code() int {
	if o.status == 0 {
		return http.StatusOK
	}
	return o.status
}

// Unwrap lets http.ResponseController flush event streams.
func (o *recorder) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// clientOf is the address of the client, as the edge has found it.
func clientOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return at.Addr().Unmap().WithZone("").String()
}
