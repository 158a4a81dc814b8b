package web

import "net/http"

// forScripts are the endpoints that a client which runs in a browser calls itself, with their methods. Discovery and keys are
// for everybody (see public). The authorization endpoint is not among them: it is gone to, not called.
var forScripts = map[string]string{
	"/oauth2/token":                "POST",
	"/oauth2/par":                  "POST",
	"/oauth2/revoke":               "POST",
	"/oauth2/device_authorization": "POST",
	"/oauth2/userinfo":             "GET, POST",
}

// crossOrigin lets scripts read the answers of those endpoints that come from where a client of browsers is registered, and
// no others. Cookies mean nothing to these endpoints, and credentials are never allowed.
func (h *handler) crossOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods, ok := forScripts[r.URL.Path]
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		header := w.Header()
		header.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		allowed := origin != "" && h.Origin(r.Context(), origin)
		if allowed {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "DPoP-Nonce, Retry-After, WWW-Authenticate, X-Request-Id")
		}
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		if allowed {
			header.Set("Access-Control-Allow-Methods", methods)
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
			header.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
