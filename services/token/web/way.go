package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/realguardio/realguardio/services/token/pages"
)

// clientNamed is what a request says of the client it is about. It proves nothing.
func clientNamed(r *http.Request) string {
	if r.Method == http.MethodPost {
		return r.PostForm.Get("client_id")
	}
	return r.URL.Query().Get("client_id")
}

// wayTo is a link to where an application of our own is at home: the origin of an address that it registered. Whoever
// names the client chooses no more than which of our own applications that is; of others there is no link, as anybody
// could put one here and have it look like ours.
func (h *handler) wayTo(r *http.Request, clientID string) pages.Link {
	if clientID == "" {
		return pages.Link{}
	}
	client, err := h.Clients.Client(r.Context(), clientID)
	if err != nil || !client.FirstParty || !client.Disabled.IsZero() {
		return pages.Link{} // the page is of use without
	}
	for _, uri := range slices.Concat(client.PostLogoutURIs, client.RedirectURIs) {
		u, err := url.Parse(uri)
		// A program on this machine listens at an http address for its answers only.
		if err == nil && (u.Scheme == "https" || u.Scheme == "http" && !client.Public) {
			return pages.Link{URL: u.Scheme + "://" + u.Host + "/", Application: client.Name}
		}
	}
	return pages.Link{}
}
