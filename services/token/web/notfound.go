package web

import (
	"net/http"

	"github.com/realguardio/realguardio/services/token/pages"
)

// elseNotFound shows a page where mux has nothing. What else mux says by itself, that a method is not allowed or a path is
// written otherwise, stays as it is.
func (h *handler) elseNotFound(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fallback, pattern := mux.Handler(r); pattern == "" {
			would := statusOnly{header: http.Header{}}
			if fallback.ServeHTTP(&would, r); would.status == http.StatusNotFound {
				h.notFound(w, r)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// statusOnly remembers the status of an answer and throws the rest away.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	h.message(w, r, http.StatusNotFound, pages.Message{Title: "There is nothing here",
		Text: "This is the sign-in service of RealGuardIO. It has no page at this address. Open the application that you want to use."})
}
