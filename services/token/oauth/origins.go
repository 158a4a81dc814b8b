package oauth

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// originsKept is how soon a client that was registered or disabled elsewhere is seen here.
	originsKept = 30 * time.Second
	// originsRetry is how soon the database is asked again after it could not be.
	originsRetry = time.Second
)

// RedirectURIs finds where public clients, enabled ones, may have browsers sent.
type RedirectURIs interface {
	PublicRedirectURIs(ctx context.Context) ([]string, error)
}

// Origins knows the origins of clients that run in a browser (RFC 6454): those of the redirect URIs of public clients.
// Whoever asks, the database is asked only now and then. It is safe for concurrent use.
type Origins struct {
	uris RedirectURIs
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex
	known map[string]bool
	// until is when known has to be read again.
	until time.Time
}

// NewOrigins returns an Origins.
func NewOrigins(uris RedirectURIs, now func() time.Time, log *slog.Logger) *Origins {
	return &Origins{uris: uris, now: now, log: log}
}

// Has tells whether a client that runs in a browser is registered at an origin, given as browsers write it.
func (o *Origins) Has(ctx context.Context, origin string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.now(); !now.Before(o.until) {
		o.load(ctx, now)
	}
	return o.known[origin]
}

// Forget has the database asked again the next time.
func (o *Origins) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = time.Time{}
}

func (o *Origins) load(ctx context.Context, now time.Time) {
	uris, err := o.uris.PublicRedirectURIs(ctx)
	if err != nil {
		o.log.WarnContext(ctx, "the origins of browser clients could not be read; the known ones stay", "error", err)
		o.until = now.Add(originsRetry)
		return
	}
	o.known, o.until = map[string]bool{}, now.Add(originsKept)
	for _, uri := range uris {
		if origin := originOf(uri); origin != "" {
			o.known[origin] = true
		}
	}
}

// originOf is the origin of a redirect URI in the form in which browsers send it; "" if no page can be there.
func originOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	return u.Scheme + "://" + host
}
