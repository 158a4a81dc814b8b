package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/realguardio/realguardio/gateway/bff"
	"github.com/realguardio/realguardio/gateway/credential"
	"github.com/realguardio/realguardio/gateway/live"
	"github.com/realguardio/realguardio/gateway/possession"
	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/mesh"
)

// caller is who sent a request, by its one credential.
type caller struct {
	token   string
	subject string
	email   string
	// key tells callers apart for rate limits: a session or an API client.
	key string
	// bound is what the token says, where it is bound to its holder's key; nil for a bearer token.
	bound *mesh.Identity
	// cookie is true where the credential is one that browsers add by themselves.
	cookie bool
}

// callerOf tells who sent r, and puts into the headers of the answer what a client that proves a key needs besides. A
// request with two credentials is refused, whatever they are worth: a caller able to add one must not be able to choose
// which counts.
func (g *Gateway) callerOf(answer http.Header, r *http.Request) (caller, error) {
	id, err := g.cookies.Session(r)
	authorization := r.Header["Authorization"]
	if err != nil || len(authorization) > 1 || len(authorization) == 1 && id != "" {
		return caller{}, problem.TwoCredentials
	}
	switch {
	case id != "":
		s, err := g.sessions.Find(r.Context(), id)
		if err != nil {
			return caller{}, bff.Refusal(err)
		}
		return caller{token: s.Access, subject: s.Person.Subject, email: s.Person.Email, key: "s " + string(id), cookie: true}, nil
	case len(authorization) == 1:
		return g.client(answer, r, authorization[0])
	default:
		return caller{}, mesh.Unauthenticated(problem.ReasonNoCredential)
	}
}

// client tells which API client, or person through one, a value of Authorization speaks for.
func (g *Gateway) client(answer http.Header, r *http.Request, authorization string) (caller, error) {
	proven, byProof := possession.Token(authorization)
	if byProof {
		authorization = "Bearer " + proven
	}
	access, err := g.credentials.Check(r.Context(), authorization, clientOf(r))
	if errors.Is(err, credential.ErrTwo) {
		return caller{}, problem.TwoCredentials
	}
	if err != nil {
		return caller{}, err
	}
	who := access.Identity
	c := caller{token: access.Token, subject: who.Subject, email: who.Email, key: "c " + who.ClientID + " " + who.Subject}
	if byProof || who.Confirmation.Bound() {
		if err := g.possession.Check(answer, r, proven, who.Confirmation); err != nil {
			return caller{}, err
		}
		c.bound = &who
	}
	return c, nil
}

// serveREST lets a caller through to the services.
func (g *Gateway) serveREST(w http.ResponseWriter, r *http.Request) {
	c, err := g.callerOf(w.Header(), r)
	if err == nil && c.cookie && !safeMethod(r.Method) {
		err = g.bff.Proven(r, "")
	}
	if err == nil {
		if wait, ok := g.perCaller.Allow(c.key); !ok {
			err = mesh.ResourceExhausted(problem.ReasonRateLimited, wait)
		}
	}
	if err != nil {
		if problem.Of(err).Status == http.StatusUnauthorized && navigates(r) {
			http.Redirect(w, r, "/api/auth/signin?"+url.Values{"callbackUrl": {r.URL.RequestURI()}}.Encode(), http.StatusFound)
			return
		}
		g.problems.Write(w, r, err)
		return
	}
	g.rest.Serve(c.speakingFor(r.Context()), w, r)
}

// speakingFor is ctx with the caller's token for the services.
func (c caller) speakingFor(ctx context.Context) context.Context {
	if c.bound != nil {
		return mesh.WithBoundBearer(ctx, c.token, *c.bound)
	}
	return mesh.WithBearer(ctx, c.token)
}

// listener is who wants live updates, now and as they go on. A key is proven for one request, and so for what comes of it: a
// token that is bound to one is not renewed, and the service ends what it was let in with.
func (g *Gateway) listener(answer http.Header, r *http.Request) (live.Caller, error) {
	c, err := g.callerOf(answer, r)
	again := func() (live.Caller, error) { return g.listener(http.Header{}, r) }
	if c.bound != nil {
		again = nil
	}
	return live.Caller{Token: c.token, Key: c.key, Person: c.subject, Speaking: c.speakingFor, Again: again}, err
}

// mayListen counts the start of live updates as it counts any other request of the caller.
func (g *Gateway) mayListen(c live.Caller) error {
	if wait, ok := g.perCaller.Allow(c.Key); !ok {
		return mesh.ResourceExhausted(problem.ReasonRateLimited, wait)
	}
	return nil
}

// admitCall counts a native call as it counts any other request of the caller, and bounds how many are open.
func (g *Gateway) admitCall(ctx context.Context, streams bool) (leave func(), err error) {
	who := mesh.Caller(ctx)
	key, person := "c "+who.ClientID+" "+who.Subject, who.Subject
	if person == "" {
		key, person = peerAddress(ctx), peerAddress(ctx)
	}
	if wait, ok := g.perCaller.Allow(key); !ok {
		return nil, mesh.ResourceExhausted(problem.ReasonRateLimited, wait)
	}
	open, reason := g.calls, problem.ReasonTooManyCalls
	if streams {
		open, reason = g.streams, problem.ReasonTooMany
	}
	leave, ok := open.Take(person)
	if !ok {
		return nil, mesh.ResourceExhausted(reason, 5*time.Second)
	}
	return leave, nil
}

// forwardAuth answers a proxy that asks whether a request may pass: 202 or 401.
func (g *Gateway) forwardAuth(w http.ResponseWriter, r *http.Request) {
	c, err := g.callerOf(w.Header(), r)
	if err != nil {
		g.problems.Write(w, r, err)
		return
	}
	w.Header().Set("X-Auth-Request-User", c.subject)
	if c.email != "" {
		w.Header().Set("X-Auth-Request-Email", c.email)
	}
	w.WriteHeader(http.StatusAccepted)
}

// navigates reports whether a person has opened the URL, and not a script: only then is a redirect of use.
func navigates(r *http.Request) bool {
	if r.Method != http.MethodGet || len(r.Header["Authorization"]) > 0 {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.HasPrefix(r.Header.Get("Accept"), "text/html")
}

// safeMethod reports whether an HTTP method promises to change nothing (RFC 9110, section 9.2.1).
func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// peerAddress is the address at the other end of a gRPC call.
func peerAddress(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}
