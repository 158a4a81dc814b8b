package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// browser goes where the suite wants a person to go, signs in and says yes. The provider's pages are plain forms, so that it
// needs no script engine; of the suite's own page it does what that page's script would.
type browser struct {
	client             *http.Client
	username, password string
}

// newBrowser returns a browser that is signed in nowhere.
func newBrowser(s settings) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("opening a browser: %w", err)
	}
	return &browser{&http.Client{Jar: jar, Transport: s.transport, Timeout: s.patience}, s.username, s.password}, nil
}

// maxPages bounds how many pages a visit leads through.
const maxPages = 12

// visit goes to a URL and on from page to page, and returns what the last one is called.
func (b *browser) visit(ctx context.Context, v visit) (title string, err error) {
	page, err := b.open(ctx, v)
	signedIn := false
	for range maxPages {
		if err != nil {
			return "", err
		}
		if target := submission(page.body); target != "" {
			// The suite's page sends the fragment back, which no server sees by itself.
			return page.title(), b.report(ctx, target, page.url.Fragment)
		}
		form, ok := page.form()
		if !ok {
			return page.title(), nil
		}
		if form.asksPassword {
			if signedIn {
				return "", errors.New("the identity provider does not let this account in: " + page.title())
			}
			signedIn = true
		}
		page, err = b.submit(ctx, form)
	}
	return "", fmt.Errorf("no end after %d pages", maxPages)
}

// open opens a URL; for POST with the parameters of its query as a form.
func (b *browser) open(ctx context.Context, v visit) (webPage, error) {
	if !strings.EqualFold(v.Method, http.MethodPost) {
		return b.send(ctx, http.MethodGet, v.URL, nil)
	}
	target, query, _ := strings.Cut(v.URL, "?")
	fields, err := url.ParseQuery(query)
	if err != nil {
		return webPage{}, fmt.Errorf("going to %s: %w", target, err)
	}
	return b.send(ctx, http.MethodPost, target, fields)
}

func (b *browser) submit(ctx context.Context, f webForm) (webPage, error) {
	if f.asksPassword {
		f.fields.Set(f.username, b.username)
		f.fields.Set(f.password, b.password)
	}
	return b.send(ctx, f.method, f.action, f.fields)
}

func (b *browser) send(ctx context.Context, method, target string, fields url.Values) (webPage, error) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(fields.Encode())
	} else if len(fields) > 0 {
		target += "?" + fields.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return webPage{}, fmt.Errorf("opening a page: %w", err)
	}
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(r)
	if err != nil {
		return webPage{}, fmt.Errorf("opening a page: %w", err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return webPage{}, fmt.Errorf("reading a page: %w", err)
	}
	return webPage{url: response.Request.URL, status: response.StatusCode, body: string(content)}, nil
}

// submitTo is where the suite's callback page posts what came back in the fragment.
var submitTo = regexp.MustCompile(`\.open\(\s*['"]POST['"]\s*,\s*("(?:[^"\\]|\\.)*")`)

func submission(body string) string {
	m := submitTo.FindStringSubmatch(body)
	target := ""
	if m == nil || json.Unmarshal([]byte(m[1]), &target) != nil {
		return ""
	}
	return target
}

func (b *browser) report(ctx context.Context, target, fragment string) error {
	if fragment != "" {
		fragment = "#" + fragment
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(fragment))
	if err != nil {
		return fmt.Errorf("telling the suite what came back: %w", err)
	}
	r.Header.Set("Content-Type", "text/plain")
	response, err := b.client.Do(r)
	if err != nil {
		return fmt.Errorf("telling the suite what came back: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("telling the suite what came back: %s", response.Status)
	}
	return nil
}
