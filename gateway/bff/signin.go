package bff

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/gateway/relyingparty"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/gateway/vault"
)

// loginLifetime is how long a person may take to sign in.
const loginLifetime = 10 * time.Minute

// login is a login under way. It lies in the vault under its state, where it can be taken once.
type login struct {
	relyingparty.Login
	// Browser is the hash of the cookie that the browser must bring, so that nobody can finish a login that another
	// browser began.
	Browser []byte    `json:"b"`
	Then    string    `json:"t"`
	Expires time.Time `json:"e"`
}

// SignIn begins a login and says where to go for it.
func (b *Routes) SignIn(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	if err == nil {
		err = b.Proven(r, form.Get("csrfToken"))
	}
	if err == nil && r.PathValue("provider") != Provider {
		err = problem.NoSuchRoute
	}
	if err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	begun := login{
		Login:   relyingparty.Login{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()},
		Then:    b.local(form.Get("callbackUrl")),
		Expires: b.Now().Add(loginLifetime),
	}
	to, err := b.Provider.AuthorizationURL(begun.Login, r.URL.Query())
	if err != nil {
		b.Problems.Write(w, r, Refusal(err))
		return
	}
	browser := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(browser))
	begun.Browser = sum[:]
	plain, err := json.Marshal(begun)
	if err == nil {
		err = b.Vault.Put(r.Context(), loginKey(begun.State), plain, loginLifetime)
	}
	if err != nil {
		b.Problems.Write(w, r, Refusal(err))
		return
	}
	b.Cookies.set(w, loginCookieOf(begun.State), browser, loginLifetime)
	sendTo(w, r, form, to)
}

func loginKey(state string) vault.Key { return vault.KeyOf("login", state) }

// errForeign says that the answer does not belong to a login that this browser has begun.
var errForeign = errors.New("bff: not a login of this browser")

// Callback finishes a login with the provider's answer: a new session, its cookie, and the way home.
func (b *Routes) Callback(w http.ResponseWriter, r *http.Request) {
	begun, err := b.takeLogin(w, r)
	if err != nil {
		b.failed(w, r, err)
		return
	}
	tokens, err := b.Provider.Redeem(r.Context(), begun.Login, r.URL.Query())
	if err != nil {
		b.failed(w, r, err)
		return
	}
	id, s, err := b.Sessions.Begin(r.Context(), tokens)
	if err != nil {
		b.failed(w, r, err)
		return
	}
	b.endReplaced(r)
	b.Cookies.set(w, sessionCookie, string(id), s.Until.Sub(b.Now()))
	_, csrf := b.CSRF.Token("", string(id))
	b.Cookies.set(w, csrfCookie, csrf, 0)
	http.Redirect(w, r, begun.Then, http.StatusFound)
}

// takeLogin returns the login that an answer belongs to. However it ends, that answer cannot be given again.
func (b *Routes) takeLogin(w http.ResponseWriter, r *http.Request) (login, error) {
	var l login
	states := r.URL.Query()["state"]
	if r.PathValue("provider") != Provider || len(states) != 1 || states[0] == "" || len(states[0]) > 128 {
		return l, errForeign
	}
	name := loginCookieOf(states[0])
	browser := sha256.Sum256([]byte(b.Cookies.value(r, name)))
	b.Cookies.remove(w, name)
	plain, err := b.Vault.Take(r.Context(), loginKey(states[0]))
	if errors.Is(err, vault.ErrNone) {
		return l, errForeign
	}
	if err != nil {
		return l, err
	}
	if json.Unmarshal(plain, &l) != nil || !b.Now().Before(l.Expires) || subtle.ConstantTimeCompare(browser[:], l.Browser) != 1 {
		return login{}, errForeign
	}
	return l, nil
}

// endReplaced ends the session that the browser had before. The new one does not depend on that: it has another id.
func (b *Routes) endReplaced(r *http.Request) {
	id, err := b.Cookies.Session(r)
	if err != nil || id == "" {
		return
	}
	old, err := b.Sessions.End(r.Context(), id)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), providerTimeout)
	defer cancel()
	if err := b.Provider.Revoke(ctx, old.Refresh); err != nil {
		b.Logger.WarnContext(ctx, "the tokens of a replaced session could not be revoked", "error", err)
	}
}

// failed shows a page for a login that did not succeed. Why is for the log.
func (b *Routes) failed(w http.ResponseWriter, r *http.Request, err error) {
	b.Logger.WarnContext(r.Context(), "a login failed", "error", err)
	switch {
	case errors.Is(err, errForeign):
		b.page(w, http.StatusForbidden, notice{
			Title: "Please sign in again",
			Text:  "This sign-in was started in another browser, is already finished, or took too long.",
		})
	case errors.Is(err, relyingparty.ErrDenied):
		b.page(w, http.StatusUnauthorized, notice{Title: "You are not signed in", Text: "The sign-in was cancelled or refused."})
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, vault.ErrUnavailable), errors.Is(err, relyingparty.ErrNotReady):
		w.Header().Set("Retry-After", "1")
		b.page(w, http.StatusServiceUnavailable, notice{Title: "Not available right now", Text: "Please try again in a moment."})
	default:
		b.page(w, http.StatusBadRequest, notice{Title: "The sign-in failed", Text: "The answer of the sign-in service was not accepted."})
	}
}
