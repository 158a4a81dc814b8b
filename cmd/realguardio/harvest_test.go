package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/realguardio/realguardio/mesh/meshtest"
)

// harvest stands between a test and the network, and remembers every secret that goes by in either direction, and what was
// answered where something was refused.
type harvest struct {
	base    http.RoundTripper
	secrets *meshtest.Secrets

	mu sync.Mutex
	// refusals are the bodies and headers of answers from 400 on, by what was asked.
	refusals map[string][]byte
}

// confidential are the names of fields, parameters and members that hold a secret.
var confidential = []string{
	"access_token", "refresh_token", "id_token", "id_token_hint", "token", "subject_token", "actor_token", "client_secret", "clientsecret",
	"secret", "password", "new_password", "newpassword", "repeat", "code", "code_verifier", "device_code", "user_code", "state", "csrftoken", "request_uri",
	"link", "client_assertion", "logout_token",
}

// inLinks are the secrets of links in mails.
var inLinks = regexp.MustCompile(`[?&;]link=([A-Za-z0-9_-]+)`)

func (h *harvest) keep(name, value string) {
	if slices.Contains(confidential, strings.ToLower(name)) {
		h.secrets.Add(name, value)
	}
}

func (h *harvest) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := fmt.Sprintf("%s %s", r.Method, r.URL.Path)
	if err := h.request(r); err != nil {
		return nil, err
	}
	answer, err := h.base.RoundTrip(r)
	if err != nil || strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if err := answer.Body.Close(); err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	h.answer(answer, body)
	if answer.StatusCode >= http.StatusBadRequest {
		h.mu.Lock()
		defer h.mu.Unlock()
		var headers bytes.Buffer
		told := answer.Header.Clone()
		told.Del("Set-Cookie") // a secret that is told to whom it belongs
		_ = told.Write(&headers)
		// A form has what it needs to be sent again, for the same browser.
		h.refusals[asked] = append(append(h.refusals[asked], headers.Bytes()...), hidden.ReplaceAll(body, nil)...)
	}
	return answer, nil
}

func (h *harvest) request(r *http.Request) error {
	for _, cookie := range r.Cookies() {
		h.secrets.Add("cookie "+cookie.Name, cookie.Value)
	}
	if _, credential, found := strings.Cut(r.Header.Get("Authorization"), " "); found {
		h.secrets.Add("credential", credential)
	}
	if _, password, ok := r.BasicAuth(); ok {
		h.secrets.Add("credential", password)
		if plain, err := url.QueryUnescape(password); err == nil {
			h.secrets.Add("credential", plain)
		}
	}
	h.values(r.URL.Query())
	if r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if form, err := url.ParseQuery(string(body)); err == nil && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		h.values(form)
	}
	h.members(body)
	return nil
}

func (h *harvest) answer(a *http.Response, body []byte) {
	for _, cookie := range a.Cookies() {
		h.secrets.Add("cookie "+cookie.Name, cookie.Value)
	}
	if to, err := url.Parse(a.Header.Get("Location")); err == nil {
		h.values(to.Query())
		if fragment, err := url.ParseQuery(to.Fragment); err == nil {
			h.values(fragment)
		}
	}
	h.members(body)
	for _, m := range inLinks.FindAllSubmatch(body, -1) {
		h.secrets.Add("link", string(m[1]))
	}
}

func (h *harvest) values(values url.Values) {
	for name, all := range values {
		for _, value := range all {
			h.keep(name, value)
		}
	}
}

// members keeps what is confidential in JSON; in anything else there is none.
func (h *harvest) members(body []byte) {
	var document any
	if json.Unmarshal(body, &document) == nil {
		h.walk("", document)
	}
}

func (h *harvest) walk(name string, value any) {
	switch value := value.(type) {
	case string:
		if name == "code" && value == strings.ToUpper(value) { // a gRPC code
			return
		}
		h.keep(name, value)
		if to, err := url.Parse(value); err == nil && to.RawQuery != "" {
			h.values(to.Query())
		}
	case []any:
		for _, one := range value {
			h.walk(name, one)
		}
	case map[string]any:
		for name, one := range value {
			h.walk(name, one)
		}
	}
}
