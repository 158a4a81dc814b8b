package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/pages"
	"github.com/realguardio/realguardio/services/token/upstream"
)

// Upstreams lets people sign in at other providers; *upstream.Parties is one.
type Upstreams interface {
	Providers() []upstream.Provider
	Provider(id string) (upstream.Provider, error)
	Begin(ctx context.Context, id, state string, wish upstream.Wish) (to string, pending upstream.Pending, err error)
	Finish(ctx context.Context, pending upstream.Pending, answer url.Values) (id account.Identity, at time.Time, err error)
}

// Federation knows whose account somebody's at another provider is; *account.Federation is one.
type Federation interface {
	Resolve(ctx context.Context, id account.Identity, trust account.Trust) (account.User, error)
	Link(ctx context.Context, user account.User, id account.Identity) error
}

// elsewhere is the part of a transaction that goes by another provider.
type elsewhere struct {
	upstream.Pending
	// Login is the transaction of the login page that the person left from. Who comes back ends that too: one request is
	// answered once.
	Login string
	// Identity is who has signed in there, once the account that goes with it is asked for.
	Identity account.Identity
}

// atLink is where somebody shows whose account an identity goes with.
const atLink = "/link"

// leave sends the browser to another provider.
func (h *handler) leave(w http.ResponseWriter, r *http.Request) {
	form, err := strictForm(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	login := form.Get("tx")
	tx, err := h.resume(r, login, atLogin)
	if err != nil {
		h.refuseTransaction(w, r, err)
		return
	}
	provider, err := h.Upstreams.Provider(r.PathValue("provider"))
	if err != nil {
		h.notFound(w, r)
		return
	}
	if err := h.countTransaction(r); err != nil {
		h.refusePage(w, r, err)
		return
	}
	state := rand.Text()
	to, pending, err := h.Upstreams.Begin(r.Context(), provider.ID, state, wishOf(&tx))
	if err != nil {
		h.backToLogin(w, r, login, tx, provider, err)
		return
	}
	tx.At, tx.Elsewhere = upstream.CallbackPath(provider.ID), &elsewhere{Pending: pending, Login: login}
	if err := h.keepAs(r.Context(), state, tx, transactionLifetime); err != nil {
		h.refusePage(w, r, err)
		return
	}
	w.Header().Set("Refresh", "0; url="+to)
	h.show(w, r, http.StatusOK, func() error { return h.pages.Leave(w, pages.Leave{Provider: provider.Name, To: to}) })
}

// wishOf is what a request asks of a sign-in, wherever that is.
func wishOf(tx *transaction) upstream.Wish {
	a := &tx.Request
	switch {
	case tx.Again:
		return upstream.Wish{Fresh: true, Unproven: true}
	case a.Prompt("login"):
		return upstream.Wish{Fresh: true}
	case a.ClientID != "" && a.MaxAge >= 0:
		return upstream.Wish{Fresh: true, MaxAge: a.MaxAge}
	}
	return upstream.Wish{Choose: a.Prompt("select_account")}
}

// callback takes another provider's answer.
func (h *handler) callback(w http.ResponseWriter, r *http.Request) {
	h.Counters.Login(h.takeCallback(w, r))
}

func (h *handler) takeCallback(w http.ResponseWriter, r *http.Request) LoginOutcome {
	provider, err := h.Upstreams.Provider(r.PathValue("provider"))
	if err != nil {
		h.notFound(w, r)
		return LoginFailed
	}
	answer, err := anyForm(r)
	if err == nil {
		err = once(answer)
	}
	if err != nil {
		return h.misled(w, r)
	}
	tx, err := h.returned(r, answer.Get("state"))
	if err != nil {
		return h.noLogin(w, r, err)
	}
	if tx.Elsewhere.Provider != provider.ID { // RFC 9700, section 2.1: the answer of one provider is not for another
		h.Logger.WarnContext(r.Context(), "an answer came to another provider's address", "provider", provider.ID, "address", h.Address(r))
		return h.misled(w, r)
	}
	if _, err := h.resume(r, tx.Elsewhere.Login, atLogin); err != nil { // came in another way meanwhile
		return h.noLogin(w, r, err)
	}
	identity, at, err := h.Upstreams.Finish(r.Context(), tx.Elsewhere.Pending, answer)
	if err != nil {
		return h.backToLogin(w, r, tx.Elsewhere.Login, tx, provider, err)
	}
	tx.Elsewhere.Identity = identity
	user, err := h.Federation.Resolve(r.Context(), identity, provider.Trust)
	if errors.Is(err, account.ErrUnlinked) {
		return h.askWhose(w, r, tx, provider)
	}
	if err != nil {
		return h.strange(w, r, provider, err)
	}
	return h.welcomeBack(w, r, tx, user, proof{at: at})
}

// returned takes the transaction that a state belongs to. A state is good for one answer, whatever that is.
func (h *handler) returned(r *http.Request, state string) (transaction, error) {
	tx, err := h.read(r, state, h.Transactions.Transaction)
	if err != nil {
		return transaction{}, err
	}
	if tx.Elsewhere == nil || tx.At != upstream.CallbackPath(tx.Elsewhere.Provider) {
		return transaction{}, errForeign
	}
	return h.finish(r, state, tx.At)
}

// backToLogin shows the login page again, with what went wrong elsewhere.
func (h *handler) backToLogin(w http.ResponseWriter, r *http.Request, login string, tx transaction, provider upstream.Provider, err error) LoginOutcome {
	h.Logger.WarnContext(r.Context(), "sign-in at an upstream provider failed", "provider", provider.ID, "address", h.Address(r), "error", err)
	page := pages.Login{Transaction: login}
	status, outcome := http.StatusForbidden, LoginRefused
	switch {
	case errors.Is(err, upstream.ErrForged):
		return h.misled(w, r)
	case errors.Is(err, upstream.ErrDenied):
		page.Notice = provider.Name + " did not sign you in. You can try again, or sign in another way."
	case errors.Is(err, upstream.ErrStale):
		page.Notice = "The application wants you to sign in anew, and " + provider.Name + " does not say that you did. Sign in another way."
	case errors.Is(err, upstream.ErrUnavailable):
		page.Notice = provider.Name + " cannot be reached at this moment. Try again later, or sign in another way."
		status, outcome = http.StatusServiceUnavailable, LoginFailed
	default:
		h.refusePage(w, r, err)
		return LoginFailed
	}
	h.showLogin(w, r, status, &tx.Request, page)
	return outcome
}

// misled refuses an answer that the provider did not give to this browser.
func (h *handler) misled(w http.ResponseWriter, r *http.Request) LoginOutcome {
	h.message(w, r, http.StatusBadRequest, pages.Message{Title: "This answer is not for here", RequestID: idOf(w),
		Text: "What came back is not the answer to your sign-in. Nothing was done. Go back to the application and start again."})
	return LoginForeign
}

// strange says why an identity signs nobody in.
func (h *handler) strange(w http.ResponseWriter, r *http.Request, provider upstream.Provider, err error) LoginOutcome {
	m := pages.Message{Title: "You cannot sign in this way"}
	switch {
	case errors.Is(err, account.ErrOtherIdentity):
		m.Text = "The account goes with another sign-in at " + provider.Name + ". Sign in as before, or with your password, and change that on your account page."
	case errors.Is(err, account.ErrOddEmail):
		m.Text = "The e-mail address that " + provider.Name + " has for you cannot be used here."
	case errors.Is(err, account.ErrRefused):
		m.Text = "Ask whoever manages your account."
	default:
		h.refusePage(w, r, err)
		return LoginFailed
	}
	h.message(w, r, http.StatusForbidden, m)
	return LoginRefused
}

// askWhose asks who has an account here to show which it is, by its password.
func (h *handler) askWhose(w http.ResponseWriter, r *http.Request, tx transaction, provider upstream.Provider) LoginOutcome {
	tx.At = atLink
	id, err := h.keep(r.Context(), tx, transactionLifetime)
	if err != nil {
		h.refusePage(w, r, err)
		return LoginFailed
	}
	h.showLink(w, r, http.StatusForbidden, tx, pages.LinkIdentity{Transaction: id, Username: tx.Elsewhere.Identity.Email, Provider: provider.Name})
	return LoginRefused
}

func (h *handler) showLink(w http.ResponseWriter, r *http.Request, status int, tx transaction, page pages.LinkIdentity) {
	page.ClientID, page.Identity = tx.Request.ClientID, tx.Elsewhere.Identity.Email
	w.Header().Set("Content-Security-Policy", contentPolicy(formTarget(tx.Request.RedirectURI)))
	h.show(w, r, status, func() error { return h.pages.LinkIdentity(w, page) })
}

// link takes the password of the account that an identity goes with from now on.
func (h *handler) link(w http.ResponseWriter, r *http.Request) { h.Counters.Login(h.takeLink(w, r)) }

func (h *handler) takeLink(w http.ResponseWriter, r *http.Request) LoginOutcome {
	form, err := strictForm(r, "username", "password")
	if err != nil {
		h.refusePage(w, r, err)
		return LoginFailed
	}
	id := form.Get("tx")
	tx, err := h.resume(r, id, atLink)
	if err != nil {
		return h.noLogin(w, r, err)
	}
	provider, err := h.Upstreams.Provider(tx.Elsewhere.Provider)
	if err != nil { // not trusted any more
		return h.noLogin(w, r, errForeign)
	}
	user, refused, err := h.checkPassword(w, r, form)
	if refused != nil {
		h.showLink(w, r, refused.status, tx, pages.LinkIdentity{Transaction: id, Provider: provider.Name, Username: refused.username, Problem: refused.problem})
		return refused.outcome
	}
	if err == nil {
		tx, err = h.finish(r, id, atLink)
	}
	if err != nil {
		return h.noLogin(w, r, err)
	}
	if err := h.Federation.Link(r.Context(), user, tx.Elsewhere.Identity); err != nil {
		return h.strange(w, r, provider, err)
	}
	return h.welcomeBack(w, r, tx, user, proof{methods: []string{account.MethodPassword}})
}

// welcomeBack is welcome for who left by the login page: unless they have come in by it meanwhile.
func (h *handler) welcomeBack(w http.ResponseWriter, r *http.Request, tx transaction, user account.User, how proof) LoginOutcome {
	if _, err := h.finish(r, tx.Elsewhere.Login, atLogin); err != nil {
		return h.noLogin(w, r, err)
	}
	tx.Elsewhere = nil
	return h.welcome(w, r, tx, user, how)
}
