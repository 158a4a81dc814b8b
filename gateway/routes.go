package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/gateway/bff"
	"github.com/realguardio/realguardio/gateway/problem"
)

// route is one line of the list: who is let in is the handler's first word. A GET answers HEAD too, unless a line without a
// handler says otherwise.
type route struct {
	method, path string
	handle       http.HandlerFunc
}

// routes are all routes of the gateway, but for those of the services, which are under /api/ by their protos.
func (g *Gateway) routes() []route {
	return append(g.liveRoutes(), []route{
		// next-auth v4
		{"GET", "/api/auth/providers", g.bff.Providers},
		{"GET", "/api/auth/csrf", g.bff.CSRFToken},
		{"GET", "/api/auth/session", g.bff.Session},
		{"POST", "/api/auth/session", g.bff.UpdateSession},
		{"GET", "/api/auth/signin", g.bff.SignInPage},
		{"POST", "/api/auth/signin/{provider}", g.slowly(g.bff.SignIn)},
		{"GET", "/api/auth/callback/{provider}", g.slowly(g.bff.Callback)},
		{"HEAD", "/api/auth/callback/{provider}", nil}, // a look at the headers must not use up the log-in
		{"GET", "/api/auth/signout", g.bff.SignOutPage},
		{"POST", "/api/auth/signout", g.bff.SignOut},
		{"GET", "/api/auth/error", g.bff.ErrorPage},
		{"GET", "/api/auth/account", g.bff.Account},
		{"POST", "/api/auth/_log", g.slowly(g.bff.Log)},
		{"POST", bff.BackchannelLogoutPath, g.slowly(g.bff.BackchannelLogout)},
		{"GET", "/api/auth/page.css", g.bff.PageCSS},

		// for proxies that ask who calls
		{"GET", "/oauth2/auth", g.forwardAuth},

		{"GET", "/api/openapi.json", g.docs.serveJSON},
		{"GET", "/api/docs", g.docs.servePage},

		{"*", "/api/", g.serveREST},
		{"GET", "/", g.ui.ServeHTTP},
	}...)
}

// liveRoutes are those of the services' RPCs that stream, with and without a version.
func (g *Gateway) liveRoutes() []route {
	var routes []route
	for _, r := range g.live.Routes() {
		for _, path := range []string{r.Path, strings.Replace(r.Path, "/api/v1/", "/api/", 1)} {
			routes = append(routes, route{"GET", path, r.Serve}, route{"HEAD", path, nil})
		}
	}
	return routes
}

// newMux serves the routes, and refuses other methods on their paths. Nothing under /api/auth/ falls through to the
// services.
func (g *Gateway) newMux() *http.ServeMux {
	byPath := map[string]map[string]http.HandlerFunc{
		"/api/auth/": {"*": g.refuse(problem.NoSuchRoute)},
		"/oauth2/":   {"*": g.refuse(problem.NoSuchRoute)},
	}
	for _, r := range g.routes() {
		if byPath[r.path] == nil {
			byPath[r.path] = map[string]http.HandlerFunc{}
		}
		byPath[r.path][r.method] = r.handle
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		mux.HandleFunc(path, g.byMethod(methods))
	}
	for pattern, handler := range g.cfg.Site.Extra {
		mux.Handle(pattern, handler)
	}
	return mux
}

func (g *Gateway) byMethod(methods map[string]http.HandlerFunc) http.HandlerFunc {
	if any := methods["*"]; any != nil {
		return any
	}
	if _, said := methods["HEAD"]; !said && methods["GET"] != nil {
		methods["HEAD"] = methods["GET"]
	}
	var allowed []string
	for method, handle := range methods {
		if handle != nil {
			allowed = append(allowed, method)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return func(w http.ResponseWriter, r *http.Request) {
		handle := methods[r.Method]
		if handle == nil {
			w.Header().Set("Allow", allow)
			g.problems.Write(w, r, problem.BadMethod)
			return
		}
		handle(w, r)
	}
}

func (g *Gateway) refuse(err error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { g.problems.Write(w, r, err) }
}
