package rest

import (
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
)

// methods are those that google.api.http has words for, in the order in which Allow names them.
var methods = [...]string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut}

// allowed lists the methods that the path of r has routes for (RFC 9110, section 10.2.1). The mux does not tell its routes,
// so each method is tried with a probe.
func (t *Transcoder) allowed(r *http.Request) []string {
	var found []string
	for _, method := range methods {
		p, tried := &probe{}, r.WithContext(r.Context())
		tried.Method = method
		if t.mux.ServeHTTP(p, tried); p.routed {
			found = append(found, method)
		}
	}
	return found
}

// probe stands in for an answer where the question is whether there is a route. No handler sees it.
type probe struct{ routed bool }

// answerProbe is around every route.
func answerProbe(route runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if p, asked := w.(*probe); asked {
			p.routed = true
			return
		}
		route(w, r, path)
	}
}

// Header, Write and WriteHeader take what is said of a path that cannot be read, and forget it.
func (*probe) Header() http.Header { return http.Header{} }

func (*probe) Write(b []byte) (int, error) { return len(b), nil }

func (*probe) WriteHeader(int) {}
