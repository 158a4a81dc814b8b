package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

// transaction is an authorization request that waits for a person. It is kept here and never in the page, so that
// nothing that a page sends back can change it.
type transaction struct {
	Request oauth.Authorization
	// Browser is the hash of the cookie of the browser that began it. Another one cannot go on with it: neither with a
	// link that it was sent, nor with a form that it was made to post.
	Browser string
	// At is the path where it goes on. Its id is good for nothing at another one.
	At string
	// SessionID is the login session of who has just signed in for it, or whom consent is asked of; empty while nobody
	// has signed in.
	SessionID string
	// Device is the request of a device that the person is asked about.
	Device string
	// Next is the page of ours that the person signs in for, where no client has sent them and Request is empty.
	Next string
	// Again says that the person is signed in, and shall show once more that it is them.
	Again bool `json:",omitempty"`
	// Elsewhere is set while the person signs in at another provider.
	Elsewhere *elsewhere `json:",omitempty"`
}

// Where a transaction goes on.
const (
	atLogin     = "/login"
	atAuthorize = "/oauth2/authorize"
	atConsent   = "/consent"
	atDevice    = oauth.DevicePath
)

// errForeign says that a transaction is not there, or is another browser's. Which of them is nobody's business.
var errForeign = errors.New("no such transaction of this browser")

// begin stores a transaction of this browser and returns its id. Anybody can ask for one, so that an address can have
// only so many.
func (h *handler) begin(w http.ResponseWriter, r *http.Request, tx transaction) (string, error) {
	if err := h.countTransaction(r); err != nil {
		return "", err
	}
	value := cookie(r, h.cookies.browser)
	if len(value) != 43 {
		value = newCookieValue()
		h.setCookie(w, h.cookies.browser, value, 0)
	}
	tx.Browser = hashCookie(value)
	if err := h.OAuth.Hold(r.Context(), &tx.Request, tx.Browser, transactionLifetime); err != nil {
		return "", err
	}
	return h.keep(r.Context(), tx, transactionLifetime)
}

func (h *handler) countTransaction(r *http.Request) error {
	wait, err := h.Attempts.Begin(r.Context(), []account.Bucket{{
		Name: "login:" + account.Network(h.Address(r)), Limit: transactionsPerAddress, Window: transactionLifetime,
	}})
	if err != nil {
		return fmt.Errorf("counting login transactions: %w", err)
	}
	if wait > 0 {
		return &oauth.Error{Code: oauth.CodeSlowDown, Description: "too many requests from this address", RetryAfter: wait}
	}
	return nil
}

// keep stores a transaction and returns its id, which is new for every step, so that an older one is worth nothing.
func (h *handler) keep(ctx context.Context, tx transaction, lifetime time.Duration) (id string, err error) {
	id = rand.Text()
	return id, h.keepAs(ctx, id, tx, lifetime)
}

func (h *handler) keepAs(ctx context.Context, id string, tx transaction, lifetime time.Duration) error {
	data, err := json.Marshal(tx)
	if err != nil {
		return fmt.Errorf("encoding a login transaction: %w", err)
	}
	return h.Transactions.PutTransaction(ctx, id, data, lifetime)
}

// resume returns a transaction of this browser that goes on at a path.
func (h *handler) resume(r *http.Request, id, at string) (transaction, error) {
	tx, err := h.read(r, id, h.Transactions.Transaction)
	if err == nil && tx.At != at {
		return transaction{}, errForeign
	}
	return tx, err
}

// finish is resume for the last time: of any number of callers exactly one gets the transaction.
func (h *handler) finish(r *http.Request, id, at string) (transaction, error) {
	if _, err := h.resume(r, id, at); err != nil {
		return transaction{}, err
	}
	return h.read(r, id, h.Transactions.TakeTransaction)
}

func (h *handler) read(r *http.Request, id string, from func(context.Context, string) ([]byte, error)) (tx transaction, err error) {
	value := cookie(r, h.cookies.browser)
	if id == "" || len(id) > 64 || value == "" {
		return transaction{}, errForeign
	}
	data, err := from(r.Context(), id)
	if errors.Is(err, oauth.ErrNotFound) {
		return transaction{}, errForeign
	}
	if err != nil {
		return transaction{}, err
	}
	if err := json.Unmarshal(data, &tx); err != nil {
		return transaction{}, fmt.Errorf("decoding a login transaction: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(tx.Browser), []byte(hashCookie(value))) != 1 {
		return transaction{}, errForeign
	}
	return tx, nil
}

// party returns the person and the client of a transaction that somebody has signed in for, as they are now. Somebody
// else who is signed in in the same browser meanwhile is not that person.
func (h *handler) party(r *http.Request, tx *transaction) (*person, oauth.Client, error) {
	who, err := h.signedIn(r)
	if err != nil {
		return nil, oauth.Client{}, err
	}
	if who == nil || tx.SessionID == "" || who.session.ID != tx.SessionID {
		return nil, oauth.Client{}, errForeign
	}
	client, err := h.client(r, &tx.Request)
	return who, client, err
}

// ownPage is what the login page calls that for which somebody signs in, where it is a page of ours.
const ownPage = "your account"

// client returns the client of a request that has waited, if it may still make that request. A page of ours has none.
func (h *handler) client(r *http.Request, a *oauth.Authorization) (oauth.Client, error) {
	if a.ClientID == "" {
		return oauth.Client{Name: ownPage}, nil
	}
	client, err := h.OAuth.Recheck(r.Context(), a)
	if errors.Is(err, oauth.ErrNotFound) {
		return oauth.Client{}, errForeign
	}
	return client, err
}

// settle is party and finish in one.
func (h *handler) settle(r *http.Request, id, at string) (transaction, *person, oauth.Client, error) {
	tx, err := h.resume(r, id, at)
	if err != nil {
		return transaction{}, nil, oauth.Client{}, err
	}
	who, client, err := h.party(r, &tx)
	if err == nil {
		tx, err = h.finish(r, id, at)
	}
	return tx, who, client, err
}

// What somebody is told whose request is over.
const (
	endedTitle = "This sign-in has ended"
	endedText  = "It took too long, was finished already, or was begun in another browser. Go back to the application and start again."
)

// refuseTransaction shows why a page cannot go on.
func (h *handler) refuseTransaction(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, errForeign) {
		h.refusePage(w, r, err)
		return
	}
	m := pages.Message{Title: endedTitle, Text: endedText, Way: h.wayTo(r, cmp.Or(clientNamed(r), h.Home))}
	h.message(w, r, http.StatusForbidden, m)
}

// formTarget is the scheme of a redirect URI as a source for "form-action"; "http:" stands for https too. Its origin alone is
// not enough: browsers hold every redirect after a form to it, and where an application sends a browser on to, from the
// address that it registered, only the application knows. Nor can a policy name an IPv6 address of this machine.
func formTarget(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || redirect == "" {
		return ""
	}
	return u.Scheme + ":"
}

// destination is a redirect URI in words for people.
func destination(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" {
		return "the application on this device"
	}
	return u.Hostname()
}
