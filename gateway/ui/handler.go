package ui

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// file is one file of the application, in memory.
type file struct {
	body    []byte
	kind    string
	etag    string
	forever bool
}

// Handler serves the application in files: each file under its name, and index.html for the paths that are pages of the
// application. It answers GET and HEAD only.
type Handler struct {
	files  map[string]file
	policy string
}

// NewHandler reads files into memory. signIn is the origin that a sign-in form may lead to.
func NewHandler(files fs.FS, signIn string) (*Handler, error) {
	h := &Handler{files: map[string]file{}, policy: policy(signIn)}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		h.files["/"+name] = newFile(name, body)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ui: reading the built application: %w", err)
	}
	if _, ok := h.files["/index.html"]; !ok {
		h.files["/index.html"] = newFile("index.html", []byte(notBuilt))
	}
	return h, nil
}

func newFile(name string, body []byte) file {
	sum := sha256.Sum256(body)
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	return file{
		body: body, kind: kind, etag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		// The build puts a hash of the content into these names.
		forever: strings.HasPrefix(name, "assets/"),
	}
}

// policy is the application's Content-Security-Policy: its own files only, nothing inline.
func policy(signIn string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
		"manifest-src 'self'; form-action 'self' " + signIn + "; base-uri 'none'; frame-ancestors 'none'"
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, found := h.files[r.URL.Path]
	if !found {
		if !isPage(r.URL) {
			h.notFound(w, r)
			return
		}
		f = h.files["/index.html"]
	}
	header := w.Header()
	header.Set("Content-Type", f.kind)
	header.Set("Content-Security-Policy", h.policy)
	header.Set("ETag", f.etag)
	if f.forever {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// isPage reports whether the application has a page at u. The list is that of Routes in src/app.tsx, by the encoded path
// as there.
func isPage(u *url.URL) bool {
	at := u.EscapedPath()
	switch id, ok := strings.CutPrefix(at, "/systems/"); {
	case at == "/", at == "/notifications":
		return true
	case ok:
		return id != "" && !strings.Contains(id, "/")
	default:
		return false
	}
}

// operational are names that other servers answer to those who run them. A probe or a scraper sent to this port by mistake
// gets no page.
var operational = []string{"health", "healthz", "livez", "readyz", "metrics", "debug"}

// notFound lets the application say so to a person. For what a person does not type a page would be wrong whatever its
// status: in place of a script it would be run.
func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if path.Ext(r.URL.Path) != "" || first == "assets" || slices.Contains(operational, first) {
		http.NotFound(w, r)
		return
	}
	f := h.files["/index.html"]
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Content-Security-Policy", h.policy)
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(f.body)
}

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>RealGuardIO</title>
<h1>The web application is not built</h1>
<p>Run <code>make ui</code> and start again. The API works: see <a href="/api/docs">its documentation</a>.</p>
</html>
`
