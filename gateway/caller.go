package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/peer"

	"github.com/realguardio/realguardio/gateway/bff"
	"github.com/realguardio/realguardio/gateway/credential"
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
	// cookie is true where the credential is one that browsers add by themselves.
	cookie bool
}

// callerOf tells who sent r. A request with two credentials is refused, whatever they are worth: a caller able to add one
// must not be able to choose which counts.
func (g *Gateway) callerOf(r *http.Request) (caller, error) {
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
		access, err := g.credentials.Check(r.Context(), authorization[0], clientOf(r))
		if errors.Is(err, credential.ErrTwo) {
			return caller{}, problem.TwoCredentials
		}
		who := access.Identity
		return caller{token: access.Token, subject: who.Subject, email: who.Email, key: "c " + who.ClientID + " " + who.Subject}, err
	default:
		return caller{}, mesh.Unauthenticated(problem.ReasonNoCredential)
	}
}

// serveREST lets a caller through to the services.
func (g *Gateway) serveREST(w http.ResponseWriter, r *http.Request) {
	c, err := g.callerOf(r)
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
	g.rest.Serve(w, r, c.token)
}

// forwardAuth answers a proxy that asks whether a request may pass: 202 or 401.
func (g *Gateway) forwardAuth(w http.ResponseWriter, r *http.Request) {
	c, err := g.callerOf(r)
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
