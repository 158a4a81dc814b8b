package gateway

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/realguardio/realguardio/gateway/bff"
)

//go:embed docs.html
var docsHTML string

// docs serves the API's description, as JSON and as a page.
type docs struct {
	json []byte
	page []byte
}

// operation is one line of the page.
type operation struct {
	Method, Path, Needs string
	Summary             []run
}

// run is a piece of prose, or of code between two backticks.
type run struct {
	Text string
	Code bool
}

// runs splits a comment of a proto. One backtick that stands alone is prose.
func runs(summary string) []run {
	pieces := strings.Split(summary, "`")
	if len(pieces)%2 == 0 {
		return []run{{Text: summary}}
	}
	all := make([]run, len(pieces))
	for i, piece := range pieces {
		all[i] = run{Text: piece, Code: i%2 == 1}
	}
	return all
}

// newDocs renders the page of an OpenAPI 2 document. Without one there are no docs: 404.
func newDocs(openAPI []byte) (*docs, error) {
	if openAPI == nil {
		return &docs{}, nil
	}
	var described struct {
		Info  struct{ Title, Description, Version string }
		Paths map[string]map[string]struct {
			Summary string
			Tags    []string
			Rule    struct{ Needs string } `json:"x-realguardio-rule"`
		}
	}
	if err := json.Unmarshal(openAPI, &described); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	groups := map[string][]operation{}
	for path, methods := range described.Paths {
		for method, op := range methods {
			groups[strings.Join(op.Tags, ", ")] = append(groups[strings.Join(op.Tags, ", ")],
				operation{Method: strings.ToUpper(method), Path: path, Summary: runs(op.Summary), Needs: op.Rule.Needs})
		}
	}
	for _, ops := range groups {
		slices.SortFunc(ops, func(a, b operation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
	}
	page, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("reading the page of the docs: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, map[string]any{"Info": described.Info, "Groups": groups}); err != nil {
		return nil, fmt.Errorf("writing the page of the docs: %w", err)
	}
	return &docs{json: openAPI, page: out.Bytes()}, nil
}

func (d *docs) serveJSON(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, d.json, "application/json")
}

func (d *docs) servePage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", bff.PagePolicy("'none'"))
	d.serve(w, r, d.page, "text/html; charset=utf-8")
}

func (d *docs) serve(w http.ResponseWriter, r *http.Request, body []byte, kind string) {
	if body == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(body)
}
