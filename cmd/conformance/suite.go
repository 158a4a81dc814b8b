package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// suite is the REST API of a conformance suite.
type suite struct {
	base, token string
	http        *http.Client
}

func newSuite(s settings) *suite {
	return &suite{base: s.suite + "api/", token: s.token, http: &http.Client{Transport: s.transport, Timeout: 30 * time.Second}}
}

// module is one test of a plan.
type module struct {
	Name    string            `json:"testModule"`
	Variant map[string]string `json:"variant"`
}

// state is how far a test is. Result counts once Status is FINISHED.
type state struct {
	Status string `json:"status"`
	Result string `json:"result"`
}

// visit is a URL that the suite wants a browser to open.
type visit struct {
	URL    string `json:"url"`
	Method string `json:"method"`
}

// maxAnswer bounds what is read of an answer; a log has a few hundred entries.
const maxAnswer = 32 << 20

// call asks the API and decodes its answer, unless into is nil.
func (s *suite) call(ctx context.Context, method, path string, query url.Values, contentType string, body []byte, into any) error {
	target := s.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the suite: %w", err)
	}
	r.Header.Set("Content-Type", contentType)
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.http.Do(r)
	if err != nil {
		return fmt.Errorf("asking the suite: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking the suite for %s: %w", path, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("asking the suite for %s: %s: %.200s", path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("asking the suite for %s: %w", path, err)
	}
	return nil
}

const jsonType = "application/json"

// createPlan makes a plan and returns its id and modules.
func (s *suite) createPlan(ctx context.Context, p plan) (id string, modules []module, err error) {
	configuration, err := json.Marshal(p.Configuration)
	if err != nil {
		return "", nil, fmt.Errorf("encoding the configuration of %s: %w", p.Name, err)
	}
	query, err := named("planName", p.Name, p.Variant)
	if err != nil {
		return "", nil, err
	}
	var made struct {
		ID      string   `json:"id"`
		Modules []module `json:"modules"`
	}
	if err := s.call(ctx, http.MethodPost, "plan", query, jsonType, configuration, &made); err != nil {
		return "", nil, err
	}
	if made.ID == "" || len(made.Modules) == 0 {
		return "", nil, errors.New("the suite made a plan without modules: " + p.Name)
	}
	return made.ID, made.Modules, nil
}

// named is a query that names something, with its variant as JSON.
func named(parameter, name string, variant map[string]string) (url.Values, error) {
	query := url.Values{parameter: {name}}
	if len(variant) > 0 {
		encoded, err := json.Marshal(variant)
		if err != nil {
			return nil, fmt.Errorf("encoding the variant of %s: %w", name, err)
		}
		query.Set("variant", string(encoded))
	}
	return query, nil
}

// createTest begins a module of a plan and returns the id of the test.
func (s *suite) createTest(ctx context.Context, plan string, m module) (string, error) {
	query, err := named("test", m.Name, m.Variant)
	if err != nil {
		return "", err
	}
	query.Set("plan", plan)
	var made struct {
		ID string `json:"id"`
	}
	if err := s.call(ctx, http.MethodPost, "runner", query, jsonType, nil, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", errors.New("the suite began a test without an id: " + m.Name)
	}
	return made.ID, nil
}

func (s *suite) start(ctx context.Context, test string) error {
	return s.call(ctx, http.MethodPost, "runner/"+url.PathEscape(test), nil, jsonType, nil, nil)
}

// cancel ends a test that is given up, so that the next one can have its alias.
func (s *suite) cancel(ctx context.Context, test string) error {
	return s.call(ctx, http.MethodDelete, "runner/"+url.PathEscape(test), nil, jsonType, nil, nil)
}

func (s *suite) state(ctx context.Context, test string) (state, error) {
	var now state
	err := s.call(ctx, http.MethodGet, "info/"+url.PathEscape(test), nil, jsonType, nil, &now)
	return now, err
}

// visits are the URLs that wait for a browser.
func (s *suite) visits(ctx context.Context, test string) ([]visit, error) {
	var running struct {
		Browser struct {
			URLs           []string `json:"urls"`
			URLsWithMethod []visit  `json:"urlsWithMethod"`
		} `json:"browser"`
	}
	if err := s.call(ctx, http.MethodGet, "runner/"+url.PathEscape(test), nil, jsonType, nil, &running); err != nil {
		return nil, err
	}
	if len(running.Browser.URLsWithMethod) > 0 {
		return running.Browser.URLsWithMethod, nil
	}
	var visits []visit
	for _, u := range running.Browser.URLs {
		visits = append(visits, visit{URL: u, Method: http.MethodGet})
	}
	return visits, nil
}

// visited tells the suite that a browser has gone to a URL.
func (s *suite) visited(ctx context.Context, test, target string) error {
	return s.call(ctx, http.MethodPost, "runner/browser/"+url.PathEscape(test)+"/visit", url.Values{"url": {target}}, jsonType, nil, nil)
}

// entry is a line of a test's log.
type entry struct {
	Message string `json:"msg"`
	Result  string `json:"result"`
	Source  string `json:"src"`
	// Upload names a screenshot that a person is asked for.
	Upload string `json:"upload"`
}

func (s *suite) log(ctx context.Context, test string) ([]entry, error) {
	var entries []entry
	err := s.call(ctx, http.MethodGet, "log/"+url.PathEscape(test), nil, jsonType, nil, &entries)
	return entries, err
}

// upload gives the suite a screenshot that it asked for, as a data URL.
func (s *suite) upload(ctx context.Context, test, placeholder, image string) error {
	path := "log/" + url.PathEscape(test) + "/images/" + url.PathEscape(placeholder)
	return s.call(ctx, http.MethodPost, path, nil, "text/plain;charset=UTF-8", []byte(image), nil)
}
