package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/pages"
	"github.com/realguardio/realguardio/services/token/password"
)

// Recovery lets people choose passwords and confirm addresses by links in mails; *account.Lifecycle is one.
type Recovery interface {
	Recover(ctx context.Context, email, from string) error
	Redeemable(ctx context.Context, secret string, purposes ...account.Purpose) (account.Ticket, account.User, error)
	ChoosePassword(ctx context.Context, secret, chosen string) error
	ConfirmAddress(ctx context.Context, secret string) (email string, err error)
}

const problemAddress = "Enter the address as you sign in with it."

// forgotPage asks who wants another password.
func (h *handler) forgotPage(w http.ResponseWriter, r *http.Request) {
	if !h.Mail {
		h.noMail(w, r)
		return
	}
	h.show(w, r, http.StatusOK, func() error { return h.pages.Forgot(w, pages.Forgot{ClientID: clientNamed(r)}) })
}

// forgot takes the address. What it does and answers is the same for every address.
func (h *handler) forgot(w http.ResponseWriter, r *http.Request) {
	form, err := strictForm(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	email := strings.TrimSpace(form.Get("username"))
	if at := strings.LastIndexByte(email, '@'); at < 1 || at == len(email)-1 || len(email) > 254 || strings.ContainsAny(email, " \r\n\t") {
		page := pages.Forgot{ClientID: form.Get("client_id"), Username: email, Problem: problemAddress}
		h.show(w, r, http.StatusBadRequest, func() error { return h.pages.Forgot(w, page) })
		return
	}
	err = h.Recovery.Recover(r.Context(), email, h.Address(r))
	if errors.Is(err, account.ErrNoMail) {
		h.noMail(w, r)
		return
	}
	if err != nil {
		h.refuseLink(w, r, err)
		return
	}
	h.message(w, r, http.StatusOK, pages.Message{Title: "Look at your mail", Way: h.wayTo(r, form.Get("client_id")),
		Text: "If there is an account with this address, a link is on its way to it. It can be used once, within half an hour."})
}

func (h *handler) noMail(w http.ResponseWriter, r *http.Request) {
	h.message(w, r, http.StatusNotFound, pages.Message{Title: "No mail is sent here", Way: h.wayTo(r, clientNamed(r)),
		Text: "Ask whoever manages your account for a link with which you choose a new password."})
}

// secretPage is for pages whose address has a secret in it: it goes to nobody, ourselves included. The origin does: without
// it a browser calls a form of the page one of origin "null", and where it does not send Sec-Fetch-Site, as old ones do not
// and none does over plain HTTP, that looks as if it came from another site.
func secretPage(w http.ResponseWriter) { w.Header().Set("Referrer-Policy", "strict-origin") }

// passwordPage lets somebody choose a password. It uses nothing up: programs follow links in mails too.
func (h *handler) passwordPage(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	h.showPassword(w, r, http.StatusOK, pages.Password{Link: r.URL.Query().Get(account.LinkParameter)})
}

func (h *handler) showPassword(w http.ResponseWriter, r *http.Request, status int, page pages.Password) {
	ticket, user, err := h.Recovery.Redeemable(r.Context(), page.Link, account.Invitation, account.Reset)
	if err != nil {
		h.refuseLink(w, r, err)
		return
	}
	page.Username, page.Invited = user.Email, ticket.Purpose == account.Invitation
	h.show(w, r, status, func() error { return h.pages.Password(w, page) })
}

// choosePassword takes the password.
func (h *handler) choosePassword(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	form, err := strictForm(r, "password", "repeat")
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	again := pages.Password{Link: form.Get(account.LinkParameter)}
	if form.Get("password") != form.Get("repeat") {
		again.RepeatProblem = "This is not what you entered above."
		h.showPassword(w, r, http.StatusBadRequest, again)
		return
	}
	err = h.Recovery.ChoosePassword(r.Context(), again.Link, form.Get("password"))
	if weak, ok := errors.AsType[*password.WeakError](err); ok {
		again.Problem = weak.Reason
		h.showPassword(w, r, http.StatusBadRequest, again)
		return
	}
	if err != nil {
		h.refuseLink(w, r, err)
		return
	}
	// Whoever else was signed in in this browser is not any more, as when somebody signs in.
	before, err := h.signedIn(r)
	if err == nil && before != nil {
		err = h.OAuth.EndSession(r.Context(), before.session.ID)
	}
	if err != nil { // the password is saved, and the cookie of that session is gone
		h.Logger.WarnContext(r.Context(), "the browser's session before was not ended", "error", err)
	}
	h.setCookie(w, h.cookies.login, "", 0)
	h.message(w, r, http.StatusOK, pages.Message{Title: "Your password is saved", Way: h.wayTo(r, h.Home),
		Text: "Sign in with it from now on. Wherever you were signed in before, you are not any more."})
}

// verifyPage asks whether an address is the reader's. It changes nothing.
func (h *handler) verifyPage(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	page := pages.Verify{Link: r.URL.Query().Get(account.LinkParameter)}
	ticket, user, err := h.Recovery.Redeemable(r.Context(), page.Link, account.Verification, account.NewAddress)
	if err != nil {
		h.refuseLink(w, r, err)
		return
	}
	page.Email, page.Name, page.Changes = ticket.Email, user.Name, ticket.Purpose == account.NewAddress
	h.show(w, r, http.StatusOK, func() error { return h.pages.Verify(w, page) })
}

// verify takes the answer.
func (h *handler) verify(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	form, err := strictForm(r)
	if err != nil {
		h.refusePage(w, r, err)
		return
	}
	email, err := h.Recovery.ConfirmAddress(r.Context(), form.Get(account.LinkParameter))
	if err != nil {
		h.refuseLink(w, r, err)
		return
	}
	h.message(w, r, http.StatusOK, pages.Message{Title: "Thank you", Way: h.wayTo(r, h.Home), Text: "The address " + email + " is confirmed."})
}

// refuseLink shows why a link does nothing.
func (h *handler) refuseLink(w http.ResponseWriter, r *http.Request, err error) {
	if limited, ok := errors.AsType[*account.LimitError](err); ok {
		retryAfter(w, limited.RetryAfter)
		h.message(w, r, http.StatusTooManyRequests, pages.Message{Title: "Too many requests", Text: problemLimited})
		return
	}
	switch {
	case errors.Is(err, account.ErrTicketOver):
		m := pages.Message{Title: "This link is over", Way: h.wayTo(r, h.Home),
			Text: "It was used already, is too old, or another one was sent after it. Ask whoever manages your account for another one."}
		if h.Mail {
			m.Text = "It was used already, is too old, or another one was sent after it."
			m.Forgot = r.URL.Path == account.PasswordPath
		}
		h.message(w, r, http.StatusBadRequest, m)
	case errors.Is(err, account.ErrTaken):
		h.message(w, r, http.StatusConflict, pages.Message{Title: "Nothing was changed", Text: "Another account has this address."})
	default:
		h.refusePage(w, r, err)
	}
}
