// Package bff is what the gateway gives to the browser: signing in and out, and who is signed in, by the routes and in
// the JSON of next-auth v4, so that its client works unchanged. The browser sees a person and an expiry, never a token.
//
// It leaves the sessions themselves to package session, and the protocol with the identity provider to relyingparty.
package bff

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/gateway/csrf"
	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/gateway/relyingparty"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/mesh"
)

// Provider is the id of the one identity provider.
const Provider = "realguardio"

// CallbackPath is where the identity provider sends the browser back to.
const CallbackPath = "/api/auth/callback/" + Provider

// maxForm is the largest body of an auth route, in bytes.
const maxForm = 64 << 10

// IdentityProvider is what the BFF asks of the identity provider.
type IdentityProvider interface {
	AuthorizationURL(login relyingparty.Login, hints url.Values) (string, error)
	Redeem(ctx context.Context, login relyingparty.Login, answer url.Values) (session.Tokens, error)
	Revoke(ctx context.Context, refreshToken string) error
	EndSession(ctx context.Context, idToken string) (visit string, err error)
	LogoutToken(ctx context.Context, raw string) (relyingparty.Logout, error)
	Origin() string
	// AccountURL is where people see and change their account.
	AccountURL() string
}

// Config of [Routes]. All of it is required.
type Config struct {
	// PublicURL is the gateway's own origin, without a path.
	PublicURL *url.URL
	Sessions  *session.Manager
	Provider  IdentityProvider
	Vault     *vault.Vault
	CSRF      *csrf.Guard
	Cookies   Cookies
	// Style is CSS that comes before that of the pages.
	Style    string
	Problems problem.Writer
	Logger   *slog.Logger
	Now      func() time.Time
}

// Routes are the handlers. They are safe for concurrent use.
type Routes struct {
	Config
	crossOrigin *http.CrossOriginProtection
}

// New returns the handlers.
func New(cfg Config) *Routes {
	return &Routes{Config: cfg, crossOrigin: http.NewCrossOriginProtection()}
}

// Providers lists the one provider.
func (b *Routes) Providers(w http.ResponseWriter, _ *http.Request) {
	type provider struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		Type        string `json:"type"`
		SigninURL   string `json:"signinUrl"`
		CallbackURL string `json:"callbackUrl"`
	}
	writeJSON(w, map[string]provider{Provider: {
		ID: Provider, Name: "RealGuardIO", Type: "oauth",
		SigninURL: b.at("/api/auth/signin/" + Provider), CallbackURL: b.at(CallbackPath),
	}})
}

// Account leads to where people see and change their account: that is at the identity provider, which has its password.
func (b *Routes) Account(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, b.Provider.AccountURL(), http.StatusSeeOther)
}

// CSRFToken gives the browser the token to repeat in state-changing requests.
func (b *Routes) CSRFToken(w http.ResponseWriter, r *http.Request) {
	token, err := b.csrfToken(w, r)
	if err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	writeJSON(w, map[string]string{"csrfToken": token})
}

func (b *Routes) csrfToken(w http.ResponseWriter, r *http.Request) (string, error) {
	id, err := b.Cookies.Session(r)
	if err != nil {
		return "", problem.TwoCredentials
	}
	token, set := b.CSRF.Token(b.Cookies.CSRF(r), string(id))
	if set != "" {
		b.Cookies.set(w, csrfCookie, set, 0)
	}
	return token, nil
}

// Proven returns nil if a request comes from a page of this site: neither from a foreign origin, nor without the token
// in its header, or in the form where the route has one.
func (b *Routes) Proven(r *http.Request, formToken string) error {
	if err := b.crossOrigin.Check(r); err != nil {
		return problem.CSRF
	}
	id, err := b.Cookies.Session(r)
	if err != nil {
		return problem.TwoCredentials
	}
	token := formToken
	if header := r.Header["X-Csrf-Token"]; len(header) == 1 {
		token = header[0]
	}
	if !b.CSRF.Proven(token, b.Cookies.CSRF(r), string(id)) {
		return problem.CSRF
	}
	return nil
}

// view is the session as the browser may see it.
type view struct {
	User    person    `json:"user"`
	Roles   []string  `json:"roles"`
	Expires time.Time `json:"expires"`
}

type person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Sub   string `json:"sub"`
}

// Session tells who is signed in: {} when nobody is.
func (b *Routes) Session(w http.ResponseWriter, r *http.Request) {
	id, err := b.Cookies.Session(r)
	if err != nil {
		b.Problems.Write(w, r, problem.TwoCredentials)
		return
	}
	s, err := b.Sessions.Find(r.Context(), id)
	if errors.Is(err, session.ErrNone) {
		if id != "" {
			b.Cookies.remove(w, sessionCookie)
		}
		writeJSON(w, struct{}{})
		return
	}
	if err != nil {
		b.Problems.Write(w, r, Refusal(err))
		return
	}
	v := view{
		User:  person{Name: s.Person.Name, Email: s.Person.Email, Sub: s.Person.Subject},
		Roles: s.Person.Roles, Expires: s.Expires().UTC().Truncate(time.Millisecond),
	}
	if v.Roles == nil {
		v.Roles = []string{}
	}
	writeJSON(w, v)
}

// UpdateSession is next-auth's update(): it proves itself, and gets the session. What it would change is not the
// browser's to change.
func (b *Routes) UpdateSession(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CSRFToken string `json:"csrfToken"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxForm)).Decode(&body); err != nil {
		b.Problems.Write(w, r, unreadable(err, "must be one JSON object with csrfToken"))
		return
	}
	if err := b.Proven(r, body.CSRFToken); err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	b.Session(w, r)
}

// Log takes what next-auth's client reports, so that it does not retry. It is worth a debug line and nothing more: anyone
// can send it.
func (b *Routes) Log(w http.ResponseWriter, r *http.Request) {
	if form, err := readForm(w, r); err == nil {
		b.Logger.DebugContext(r.Context(), "the browser reports", "code", clip(form.Get("code"), 64))
	}
	writeJSON(w, struct{}{})
}

// Refusal says an error of the session in the words of a refusal.
func Refusal(err error) error {
	switch {
	case errors.Is(err, session.ErrNone):
		return mesh.Unauthenticated(problem.ReasonNoCredential)
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, vault.ErrUnavailable):
		return mesh.Unavailable("the session store or the identity provider")
	case errors.Is(err, relyingparty.ErrNotReady):
		return mesh.Unavailable("the identity provider")
	default:
		return err
	}
}

// readForm reads a small urlencoded form.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &problem.Error{
			Status: http.StatusUnsupportedMediaType, Code: problem.NotJSON.Code, Reason: problem.NotJSON.Reason,
			Detail: "the request body must be application/x-www-form-urlencoded",
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, unreadable(err, "must be an urlencoded form")
	}
	return r.PostForm, nil
}

// unreadable refuses a body that could not be read: too large, or not what was wanted.
func unreadable(err error, wanted string) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.TooLarge(tooLarge.Limit)
	}
	return mesh.InvalidField("body", wanted)
}

// sendTo tells the browser where to go: next-auth's client asks for the URL, a plain form is redirected.
func sendTo(w http.ResponseWriter, r *http.Request, form url.Values, to string) {
	if form.Get("json") == "true" {
		writeJSON(w, map[string]string{"url": to})
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// local returns where on this site the browser asked to go afterwards. Anything else, however it is written, becomes the
// home page.
func (b *Routes) local(asked string) string {
	home := b.at("/")
	if asked == "" || len(asked) > 2048 || strings.ContainsFunc(asked, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' }) {
		return home
	}
	u, err := url.Parse(asked)
	if err != nil || u.User != nil || u.Opaque != "" {
		return home
	}
	relative := u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/") && !strings.HasPrefix(asked, "//")
	if !relative && (u.Scheme != b.PublicURL.Scheme || u.Host != b.PublicURL.Host) {
		return home
	}
	u.Scheme, u.Host = b.PublicURL.Scheme, b.PublicURL.Host
	if u.Path == "" || strings.HasPrefix(u.Path, "//") {
		u.Path, u.RawPath = "/", ""
	}
	return u.String()
}

func (b *Routes) at(path string) string { return b.PublicURL.Scheme + "://" + b.PublicURL.Host + path }

// writeJSON leaves URLs legible: an answer is never run as a page.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(v) // fails only when the browser is gone
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
