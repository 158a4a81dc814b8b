package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/realguardio/realguardio/services/token/pages"
)

// fakeSuite answers as the REST API of the conformance suite does, as far as the driver asks.
type fakeSuite struct {
	*httptest.Server
	t        *testing.T
	modules  []string
	provider *httptest.Server

	mu            sync.Mutex
	configuration map[string]any
	variant       string
	tests         map[string]*fakeTest
}

// fakeTest is one run of a module. Its id is its module's name and a number.
type fakeTest struct {
	module, status, result string
	urls                   []visit
	log                    []map[string]any
	callbacks              int
	cancelled              bool
}

func newFakeSuite(t *testing.T, modules ...string) *fakeSuite {
	t.Helper()
	s := &fakeSuite{t: t, modules: modules, tests: map[string]*fakeTest{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/plan", s.createPlan)
	mux.HandleFunc("POST /api/runner", s.createTest)
	mux.HandleFunc("POST /api/runner/{id}", s.startTest)
	mux.HandleFunc("DELETE /api/runner/{id}", s.cancelTest)
	mux.HandleFunc("GET /api/info/{id}", s.info)
	mux.HandleFunc("GET /api/runner/{id}", s.runner)
	mux.HandleFunc("POST /api/runner/browser/{id}/visit", s.visit)
	mux.HandleFunc("GET /api/log/{id}", s.readLog)
	mux.HandleFunc("POST /api/log/{id}/images/{placeholder}", s.image)
	mux.HandleFunc("/test/{id}/callback", s.callback)
	mux.HandleFunc("POST /test/{id}/implicit", s.implicit)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Authorization") != "Bearer suite-token" {
			http.Error(w, `{"error":"who are you"}`, http.StatusUnauthorized)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.provider = fakeProvider(t)
	return s
}

// made is the configuration of the latest plan, and the variant as it was asked for.
func (s *fakeSuite) made() (configuration map[string]any, variant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configuration, s.variant
}

func (s *fakeSuite) cancelled(module string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, test := range s.tests {
		if test.module == module && test.cancelled {
			return true
		}
	}
	return false
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *fakeSuite) createPlan(w http.ResponseWriter, r *http.Request) {
	if err := json.NewDecoder(r.Body).Decode(&s.configuration); err != nil || r.URL.Query().Get("planName") == "" {
		reply(w, http.StatusBadRequest, map[string]string{"error": "no configuration"})
		return
	}
	s.variant = r.URL.Query().Get("variant")
	modules := []map[string]any{}
	for _, m := range s.modules {
		modules = append(modules, map[string]any{"testModule": m, "variant": map[string]string{"response_type": "code"}, "instances": []string{}})
	}
	reply(w, http.StatusCreated, map[string]any{"name": r.URL.Query().Get("planName"), "id": "plan1", "modules": modules})
}

func (s *fakeSuite) createTest(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("plan") != "plan1" || q.Get("variant") != `{"response_type":"code"}` {
		reply(w, http.StatusBadRequest, map[string]string{"error": "not of this plan"})
		return
	}
	id := fmt.Sprintf("%s-%d", q.Get("test"), len(s.tests))
	test := &fakeTest{module: q.Get("test"), status: "WAITING"}
	s.tests[id] = test
	s.begin(id, test)
	reply(w, http.StatusCreated, map[string]string{"id": id, "name": test.module, "url": s.URL + "/test/" + id})
}

// begin has a test want what its module wants.
func (s *fakeSuite) begin(id string, test *fakeTest) {
	authorize := s.provider.URL + "/authorize?" + url.Values{"redirect_uri": {s.URL + "/test/" + id + "/callback"}}.Encode()
	switch test.module {
	case "signs-in", "signs-in-twice":
		test.urls = []visit{{authorize, "GET"}}
	case "posts":
		test.urls = []visit{{authorize, "POST"}}
	case "shows-an-error-page":
		test.urls = []visit{{s.provider.URL + "/error", "GET"}}
		test.log = []map[string]any{{"msg": "upload a screenshot", "result": "REVIEW", "src": "Expect", "upload": "picture1"}}
	case "goes-round":
		test.urls = []visit{{s.provider.URL + "/round", "GET"}}
	case "waits-to-be-started":
		test.status = "CONFIGURED"
	case "hangs":
		test.status = "RUNNING"
	case "is-interrupted":
		test.status = "INTERRUPTED"
	case "is-unclear":
		test.status, test.result = "FINISHED", "UNKNOWN"
	case "is-skipped":
		test.status, test.result = "FINISHED", "SKIPPED"
	case "fails":
		test.status, test.result = "FINISHED", "FAILED"
		test.log = []map[string]any{{"msg": "not quite", "result": "WARNING", "src": "Check"}, {"msg": "that was wrong", "result": "FAILURE", "src": "Check"}}
	case "warns":
		test.status, test.result = "FINISHED", "WARNING"
		test.log = []map[string]any{{"msg": "fine", "result": "SUCCESS", "src": "Other"}, {"msg": "not quite", "result": "WARNING", "src": "Check"}}
	}
}

func (s *fakeSuite) named(w http.ResponseWriter, r *http.Request) *fakeTest {
	test := s.tests[r.PathValue("id")]
	if test == nil {
		reply(w, http.StatusNotFound, map[string]string{"error": "test not found"})
	}
	return test
}

func (s *fakeSuite) startTest(w http.ResponseWriter, r *http.Request) {
	if test := s.named(w, r); test != nil {
		test.status, test.result = "FINISHED", "PASSED"
		reply(w, http.StatusOK, map[string]string{})
	}
}

func (s *fakeSuite) cancelTest(w http.ResponseWriter, r *http.Request) {
	if test := s.named(w, r); test != nil {
		test.cancelled = true
		reply(w, http.StatusOK, map[string]string{})
	}
}

func (s *fakeSuite) info(w http.ResponseWriter, r *http.Request) {
	if test := s.named(w, r); test != nil {
		reply(w, http.StatusOK, map[string]any{"testId": r.PathValue("id"), "status": test.status, "result": test.result})
	}
}

func (s *fakeSuite) runner(w http.ResponseWriter, r *http.Request) {
	test := s.named(w, r)
	if test == nil {
		return
	}
	urls := []string{}
	for _, v := range test.urls {
		urls = append(urls, v.URL)
	}
	browser := map[string]any{"urls": urls, "visited": []string{}}
	if test.module != "signs-in" { // older suites know no methods
		browser["urlsWithMethod"] = test.urls
	}
	reply(w, http.StatusOK, map[string]any{"id": r.PathValue("id"), "browser": browser})
}

func (s *fakeSuite) visit(w http.ResponseWriter, r *http.Request) {
	test := s.named(w, r)
	if test == nil {
		return
	}
	if len(test.urls) == 0 || test.urls[0].URL != r.URL.Query().Get("url") {
		reply(w, http.StatusBadRequest, map[string]string{"error": "not that one"})
		return
	}
	test.urls = test.urls[1:]
	w.WriteHeader(http.StatusNoContent)
}

func (s *fakeSuite) readLog(w http.ResponseWriter, r *http.Request) {
	if test := s.named(w, r); test != nil {
		reply(w, http.StatusOK, test.log)
	}
}

func (s *fakeSuite) image(w http.ResponseWriter, r *http.Request) {
	test := s.named(w, r)
	if test == nil {
		return
	}
	body, _ := io.ReadAll(r.Body)
	encoded, ok := strings.CutPrefix(string(body), "data:image/png;base64,")
	if _, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded))); !ok || err != nil || len(test.urls) > 0 {
		http.Error(w, "Only jpeg/png files accepted", http.StatusBadRequest)
		return
	}
	delete(test.log[0], "upload")
	test.status, test.result = "FINISHED", "REVIEW"
	reply(w, http.StatusOK, map[string]string{})
}

// callback is the page whose script sends the fragment on.
func (s *fakeSuite) callback(w http.ResponseWriter, r *http.Request) {
	target := strings.ReplaceAll(s.URL+"/test/"+r.PathValue("id")+"/implicit", "/", `\/`)
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<html><head><title>Processing</title></head><body><form method="get"></form>
		<script>var xhr = new XMLHttpRequest(); xhr.open('POST', "%s", true); xhr.send(window.location.hash);</script></body></html>`, target)
}

func (s *fakeSuite) implicit(w http.ResponseWriter, r *http.Request) {
	test := s.named(w, r)
	if test == nil {
		return
	}
	body, _ := io.ReadAll(r.Body)
	test.callbacks++
	switch {
	case string(body) != "#code=abc&state=x":
		test.status, test.result = "FINISHED", "FAILED"
	case test.module == "signs-in-twice" && test.callbacks == 1:
		s.begin(r.PathValue("id"), test)
	default:
		test.status, test.result = "FINISHED", "PASSED"
	}
	w.WriteHeader(http.StatusNoContent)
}

// fakeProvider shows the identity provider's own pages.
func fakeProvider(t *testing.T) *httptest.Server {
	t.Helper()
	drawn, err := pages.New()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.RawQuery != "" {
			http.Error(w, "parameters of a POST belong to its body", http.StatusBadRequest)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "browser", Value: url.QueryEscape(r.FormValue("redirect_uri"))})
		_ = drawn.Login(w, pages.Login{Application: "Conformance", Transaction: "tx1"})
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("tx") != "tx1" || r.FormValue("username") != "alice@acme.example" || r.FormValue("password") != "correct horse battery" {
			w.WriteHeader(http.StatusForbidden)
			_ = drawn.Login(w, pages.Login{Application: "Conformance", Transaction: "tx1", Problem: "Wrong e-mail or password."})
			return
		}
		http.Redirect(w, r, "/consent", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /consent", func(w http.ResponseWriter, _ *http.Request) {
		_ = drawn.Consent(w, pages.Consent{Application: "Conformance", Transaction: "tx2", Scopes: []string{"know that it is you"}})
	})
	mux.HandleFunc("POST /consent", func(w http.ResponseWriter, r *http.Request) {
		began, err := r.Cookie("browser")
		if err != nil || r.FormValue("tx") != "tx2" || r.FormValue("decision") != "allow" {
			http.Error(w, "not allowed", http.StatusForbidden)
			return
		}
		to, _ := url.QueryUnescape(began.Value)
		w.Header().Set("Location", to+"#code=abc&state=x")
		w.WriteHeader(http.StatusSeeOther)
	})
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_ = drawn.Message(w, pages.Message{Title: "This request cannot be answered"})
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<form method="post" action="/round"><button>On</button></form>`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}
