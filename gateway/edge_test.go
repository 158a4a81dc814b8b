package gateway_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/realguardio/realguardio/gateway"
	meshv1 "github.com/realguardio/realguardio/gen/go/realguardio/mesh/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestTheApplicationIsServed(t *testing.T) {
	g := newWorld(t).gateway(t)
	for _, tt := range []struct {
		path   string
		status int
		cache  string
		kind   string
	}{
		{"/", 200, "no-cache", "text/html; charset=utf-8"},
		{"/index.html", 200, "no-cache", "text/html; charset=utf-8"},
		{"/systems/sys_1", 200, "no-cache", "text/html; charset=utf-8"},
		{"/assets/app-1234.js", 200, "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"},
		{"/notifications", 200, "no-cache", "text/html; charset=utf-8"},
		{"/systems/a%2Fb", 200, "no-cache", "text/html; charset=utf-8"},
		{"/systems/%ff", 200, "no-cache", "text/html; charset=utf-8"},
		{"/nowhere", 404, "no-store", "text/html; charset=utf-8"},
		{"/systems", 404, "no-store", "text/html; charset=utf-8"},
		{"/systems/", 404, "no-store", "text/html; charset=utf-8"},
		{"/systems/a/b", 404, "no-store", "text/html; charset=utf-8"},
		{"/assets/app-0000.js", 404, "no-store", "text/plain; charset=utf-8"},
		{"/assets/", 404, "no-store", "text/plain; charset=utf-8"},
		{"/nope.js", 404, "no-store", "text/plain; charset=utf-8"},
		{"/robots.txt", 404, "no-store", "text/plain; charset=utf-8"},
		{"/.env", 404, "no-store", "text/plain; charset=utf-8"},
		{"/healthz", 404, "no-store", "text/plain; charset=utf-8"},
		{"/readyz", 404, "no-store", "text/plain; charset=utf-8"},
		{"/metrics", 404, "no-store", "text/plain; charset=utf-8"},
		{"/debug/pprof/", 404, "no-store", "text/plain; charset=utf-8"},
	} {
		r := g.do(t, http.MethodGet, tt.path, "").want(t, tt.status, "")
		if r.Header.Get("Cache-Control") != tt.cache || r.Header.Get("Content-Type") != tt.kind {
			t.Errorf("%s: %v", tt.path, r.Header)
		}
		if strings.HasPrefix(tt.kind, "text/html") != strings.Contains(r.body, "<title>RealGuardIO") {
			t.Errorf("%s: %s", tt.path, r.body)
		}
		if csp := r.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: %s", tt.path, csp)
		}
		if tt.status == 200 {
			g.do(t, http.MethodGet, tt.path, "", header{"If-None-Match": r.Header.Get("ETag")}).want(t, http.StatusNotModified, "")
		}
	}
	r := g.do(t, http.MethodPost, "/", "{}").want(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	if allow := r.Header.Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow is %q", allow)
	}
	empty := newWorld(t).gateway(t, func(c *gateway.Config) { c.Site.UI = os.DirFS(t.TempDir()) })
	if r := empty.do(t, http.MethodGet, "/", "").want(t, http.StatusOK, ""); !strings.Contains(r.body, "make ui") {
		t.Errorf("without a build: %s", r.body)
	}
}

// TestThePagesAreThoseOfTheApplication reads the application's own list.
func TestThePagesAreThoseOfTheApplication(t *testing.T) {
	source, err := os.ReadFile("ui/src/app.tsx")
	if err != nil {
		t.Fatal(err)
	}
	pages := regexp.MustCompile(`if \(path === "([^"]+)"\)`).FindAllSubmatch(source, -1)
	if len(pages) == 0 {
		t.Fatal("no pages found")
	}
	g := newWorld(t).gateway(t)
	for _, page := range pages {
		g.do(t, http.MethodGet, string(page[1]), "").want(t, http.StatusOK, "")
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	w := newWorld(t)
	g, secure := w.gateway(t), w.gateway(t, https, func(c *gateway.Config) { c.PublicURL = "https://guard.example" })
	for _, path := range []string{"/", "/api/auth/session", "/api/auth/csrf", "/api/v1/securitysystems", "/api/nothing", "/oauth2/auth", "/api/docs", "/api/openapi.json"} {
		h := g.do(t, http.MethodGet, path, "").Header
		wanted := map[string]string{"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
		if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
			maps.Copy(wanted, map[string]string{"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin"})
			if h.Get("Permissions-Policy") == "" {
				t.Errorf("%s: no Permissions-Policy", path)
			}
		}
		for name, want := range wanted {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if h.Get("X-Request-Id") == "" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			h.Get("Strict-Transport-Security") != "" || h.Get("Server") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
	if secure.do(t, http.MethodGet, "/", "").Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS over https")
	}
	if hsts := w.gateway(t, https).do(t, http.MethodGet, "/", "").Header.Get("Strict-Transport-Security"); hsts != "" {
		t.Errorf("a browser is told of localhost: %s", hsts)
	}
	for id, kept := range map[string]bool{"req-1": true, strings.Repeat("x", 65): false, "a b": false, "a\tb": false, "<x>": false} {
		if got := g.do(t, http.MethodGet, "/", "", header{"X-Request-Id": id}).Header.Get("X-Request-Id"); (got == id) != kept || got == "" {
			t.Errorf("the request id %q became %q", id, got)
		}
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(t, func(c *gateway.Config) { c.Origins.CORS = []string{"https://app.example"} })
	preflight := func(origin string) reply {
		return g.do(t, http.MethodOptions, "/api/v1/securitysystems", "", header{"Origin": origin, "Access-Control-Request-Method": "POST"})
	}
	for _, evil := range []string{"https://evil.example", "null", "https://app.example.evil", "http://app.example"} {
		if r := preflight(evil).want(t, http.StatusForbidden, "CSRF"); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is allowed", evil)
		}
		if r := g.do(t, http.MethodGet, "/api/auth/session", "", header{"Origin": evil}); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is allowed", evil)
		}
	}
	r := preflight("https://app.example").want(t, http.StatusNoContent, "")
	if r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("a configured origin gets %v", r.Header)
	}
	b := g.signedIn(t)
	b.post(t, "/api/v1/securitysystems/sys_1:arm", "{}", header{"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}).want(t, http.StatusForbidden, "CSRF")
	token := w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}})
	r = g.do(t, http.MethodGet, "/api/v1/securitysystems", "", bearer(token), header{"Origin": "https://app.example"}).want(t, http.StatusOK, "")
	if r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("a configured origin gets %v", r.Header)
	}
}

func TestOnlyTrustedProxiesSayWhoTheySpeakFor(t *testing.T) {
	w := newWorld(t)
	seen := func(g *gate, forwarded string) string {
		w.backend.take()
		token := w.idp.Token(t, meshtest.Claims{Scopes: []string{"securitysystem.read"}})
		g.do(t, http.MethodGet, "/api/v1/securitysystems", "", bearer(token), header{"X-Forwarded-For": forwarded}).want(t, http.StatusOK, "")
		return w.backend.take()[0].metadata.Get("x-forwarded-for")[0]
	}
	trusting := w.gateway(t, func(c *gateway.Config) {
		c.Proxies.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	})
	for forwarded, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "6.6.6.6, 203.0.113.7": "203.0.113.7", "6.6.6.6, 203.0.113.7, 10.1.2.3": "203.0.113.7",
		"nonsense": "127.0.0.1", "203.0.113.7, nonsense": "127.0.0.1", "6.6.6.6\n203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7",
	} {
		if got := seen(trusting, forwarded); got != want {
			t.Errorf("behind a trusted proxy %q is %s; want %s", forwarded, got, want)
		}
	}
	if got := seen(w.gateway(t), "203.0.113.7"); got != "127.0.0.1" {
		t.Errorf("a stranger is believed to be %s", got)
	}
}

func TestAHandlerThatPanics(t *testing.T) {
	g := newWorld(t).gateway(t, func(c *gateway.Config) {
		c.Site.Extra = map[string]http.Handler{"GET /dev/panic": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })}
	})
	if r := g.do(t, http.MethodGet, "/dev/panic", "").want(t, http.StatusInternalServerError, "INTERNAL"); strings.Contains(r.body, "secret") {
		t.Errorf("answer is %s", r.body)
	}
	g.do(t, http.MethodGet, "/", "").want(t, http.StatusOK, "")
}

func TestMetricsAreByRoute(t *testing.T) {
	registry := prometheus.NewRegistry()
	g := newWorld(t).gateway(t, func(c *gateway.Config) { c.Registerer = registry })
	for i := range 50 {
		g.do(t, http.MethodGet, fmt.Sprintf("/api/v1/securitysystems/sys_%d", i), "")
		g.do(t, "X"+fmt.Sprint(i), "/", "")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > 2 || f.GetName() == "realguardio_gateway_http_request_seconds" && n != 2 {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
	}
	if len(families) != 10 {
		t.Errorf("there are %d metrics", len(families))
	}
}

func TestDocs(t *testing.T) {
	g := newWorld(t).gateway(t)
	if r := g.do(t, http.MethodGet, "/api/openapi.json", "").want(t, http.StatusOK, ""); r.json(t)["swagger"] != "2.0" {
		t.Errorf("openapi.json is %s", r.body)
	}
	if r := g.do(t, http.MethodGet, "/api/docs", "").want(t, http.StatusOK, ""); !strings.Contains(r.body, "Get &lt;x&gt; by <code>its &lt;name&gt;</code>") || !strings.Contains(r.body, "/api/v1/x") || !strings.Contains(r.body, "Needs: a person.") {
		t.Errorf("docs are %s", r.body)
	}
}

// TestMalformedHTTP sends what no client library would.
func TestMalformedHTTP(t *testing.T) {
	g := newWorld(t).gateway(t)
	for name, raw := range map[string]string{
		"two lengths":                  "POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"a bad length":                 "POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
		"two transfer encodings":       "POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"an unknown transfer encoding": "POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"a space before the colon":     "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
		"two hosts":                    "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":                      "GET / HTTP/1.1\r\n\r\n",
		"a control character":          "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
		"headers without end":          "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(raw)); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode < 400 || res.StatusCode > 501 || !res.Close {
				t.Errorf("answer is %d, close %v", res.StatusCode, res.Close)
			}
		})
	}
}

// TestAChunkedRequestEndsItsConnection keeps what follows one out of the next request, whatever its lengths say.
func TestAChunkedRequestEndsItsConnection(t *testing.T) {
	g := newWorld(t).gateway(t)
	const form = "POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	for _, tt := range []struct {
		name, raw string
		ends      bool
	}{
		{"a length and chunks", form + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", true},
		{"chunks", form + "Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", true},
		{"a length", form + "Content-Length: 3\r\n\r\na=bGET / HTTP/1.1\r\nHost: x\r\n\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(tt.raw)); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK || res.Close != tt.ends {
				t.Errorf("answer is %d, close %v, %v", res.StatusCode, res.Close, err)
			}
			if _, err := in.ReadByte(); (err != nil) != tt.ends {
				t.Errorf("what follows: %v", err)
			}
		})
	}
}

// TestNoHandlerServer holds the gateway to real connections: what protoc-gen-grpc-gateway calls Register...HandlerServer
// calls a service in process and past every interceptor.
func TestNoHandlerServer(t *testing.T) {
	for _, root := range []string{".", "../cmd", "../services", "../mesh"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(path, ".go") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return nil // the compiler says it better
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(id.Name, "Register") && strings.HasSuffix(id.Name, "HandlerServer") {
					t.Errorf("%s uses %s", path, id.Name)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigNamesWhatIsMissing(t *testing.T) {
	tests := map[string]func(*gateway.Config){
		"PublicURL is missing":     func(c *gateway.Config) { c.PublicURL = "" },
		"must be https":            func(c *gateway.Config) { c.PublicURL = "http://example.com" },
		"scheme and a host":        func(c *gateway.Config) { c.PublicURL = "https://example.com/path" },
		"Issuer is missing":        func(c *gateway.Config) { c.Provider.Issuer = "" },
		"ClientSecret is missing":  func(c *gateway.Config) { c.Provider.ClientSecret = "" },
		"Redis is missing":         func(c *gateway.Config) { c.Sessions.Redis = nil },
		"ContextTimeoutEnabled":    func(c *gateway.Config) { c.Sessions.Redis = redis.NewClient(&redis.Options{}) },
		"Sessions.Keys is missing": func(c *gateway.Config) { c.Sessions.Keys = nil },
		"not 32":                   func(c *gateway.Config) { c.Sessions.Keys = [][]byte{{1}} },
		"Verifier is missing":      func(c *gateway.Config) { c.Verifier = nil },
		"Revocations is missing":   func(c *gateway.Config) { c.Revocations = nil },
		"needs Conn and Forward":   func(c *gateway.Config) { c.Backends = []gateway.Backend{{}} },
		"OpenAPI":                  func(c *gateway.Config) { c.Site.OpenAPI = []byte("{") },
		"does not say edge": func(c *gateway.Config) {
			inner := testFile("inner", &meshv1.Rule{Callers: []meshv1.CallerKind{meshv1.CallerKind_CALLER_KIND_USER}})
			c.Backends = []gateway.Backend{{Conn: c.Backends[0].Conn, Forward: c.Backends[0].Forward, Services: inner}}
		},
	}
	newWorld(t).gateway(t, func(c *gateway.Config) {
		for want, change := range tests {
			broken := *c
			change(&broken)
			if _, err := gateway.New(broken); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error with %q, got %v", want, err)
			}
		}
	})
}

// testFile is a file with one service whose one method has a REST form and this rule.
func testFile(name string, rule *meshv1.Rule) []protoreflect.ServiceDescriptor {
	method := streamMethod("Do", rule)
	method.ServerStreaming, method.ClientStreaming = nil, nil
	method.InputType, method.OutputType = proto.String(".test.gateway."+name+".Note"), proto.String(".test.gateway."+name+".Note")
	proto.SetExtension(method.Options, annotations.E_Http, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/api/v1/do"}})
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test/gateway/" + name + ".proto"), Package: proto.String("test.gateway." + name), Syntax: proto.String("proto3"),
		Dependency:  []string{"realguardio/mesh/v1/policy.proto", "google/api/annotations.proto"},
		Service:     []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Test"), Method: []*descriptorpb.MethodDescriptorProto{method}}},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Note")}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	return []protoreflect.ServiceDescriptor{file.Services().Get(0)}
}
