package mailsink

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/realguardio/realguardio/gateway/ui"
)

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageText string

// policy allows the page its one style sheet and its icon, and nothing else. It is not framed and reaches nowhere.
func policy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// Handler answers GET with the messages, newest first: a page, or {"messages": [...]} to who accepts JSON rather than HTML.
func (s *Sink) Handler() http.Handler {
	page := template.Must(template.New("outbox").Parse(pageText))
	style := ui.Style() + pageStyle
	csp := policy(style)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", csp)
		messages := s.Messages()
		if wantsJSON(r) {
			h.Set("Content-Type", "application/json")
			if messages == nil {
				messages = []Message{}
			}
			json.NewEncoder(w).Encode(map[string]any{"messages": messages})
			return
		}
		var body bytes.Buffer
		data := map[string]any{"Style": template.CSS(style), "Messages": messages, "Keep": keep}
		if err := page.Execute(&body, data); err != nil {
			http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.Write(body.Bytes())
	})
}

func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}
