package bff

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"net/http"
)

//go:embed page/page.css
var pageCSS string

//go:embed page/notice.html
var noticeHTML string

var noticePage = template.Must(template.New("notice").Parse(noticeHTML))

// notice is a page that says one thing and offers one way on: a form to Action, or home.
type notice struct {
	Title, Text                            string
	Action, Button, CSRFToken, CallbackURL string
}

// PageCSS is the style of these pages: the application's, and what they add. It is asked for anew each time, so that no
// page is shown in the style of another version.
func (b *Routes) PageCSS(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = io.WriteString(w, b.Style+pageCSS)
}

// PagePolicy is the Content-Security-Policy of a page that is shown in [Routes.PageCSS] and runs nothing. A form on it may
// lead to formAction.
func PagePolicy(formAction string) string {
	return "default-src 'none'; style-src 'self'; img-src 'self'; form-action " + formAction + "; base-uri 'none'; frame-ancestors 'none'"
}

// SignInPage offers the one provider, to browsers without our application and to next-auth's client when it finds no
// provider of the name it was asked for.
func (b *Routes) SignInPage(w http.ResponseWriter, r *http.Request) {
	token, err := b.csrfToken(w, r)
	if err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	text := "You are sent to the sign-in page and come back here."
	if said, ok := errorTexts[r.URL.Query().Get("error")]; ok {
		text = said
	}
	b.page(w, http.StatusOK, notice{
		Title: "Sign in", Text: text,
		Action: "/api/auth/signin/" + Provider, Button: "Sign in with RealGuardIO",
		CSRFToken: token, CallbackURL: b.local(r.URL.Query().Get("callbackUrl")),
	})
}

// SignOutPage asks before signing out: a link alone must not.
func (b *Routes) SignOutPage(w http.ResponseWriter, r *http.Request) {
	token, err := b.csrfToken(w, r)
	if err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	b.page(w, http.StatusOK, notice{
		Title: "Sign out?", Text: "The next sign-in asks for your password.", Action: "/api/auth/signout", Button: "Sign out",
		CSRFToken: token, CallbackURL: b.local(r.URL.Query().Get("callbackUrl")),
	})
}

// errorTexts are next-auth's error codes that can reach a browser of ours. Other codes are not repeated.
var errorTexts = map[string]string{
	"Configuration":   "Signing in is not available right now.",
	"AccessDenied":    "You do not have permission to sign in.",
	"OAuthSignin":     "The sign-in could not be started. Try again.",
	"OAuthCallback":   "The sign-in did not succeed. Try again.",
	"SessionRequired": "Sign in to see this page.",
}

// ErrorPage says in words what next-auth's client says in codes.
func (b *Routes) ErrorPage(w http.ResponseWriter, r *http.Request) {
	text, ok := errorTexts[r.URL.Query().Get("error")]
	if !ok {
		text = "Something went wrong. Try again."
	}
	b.page(w, http.StatusOK, notice{Title: "You are not signed in", Text: text})
}

// page writes a notice. Browsers apply form-action to the redirect that answers a form, so the provider stands in it.
func (b *Routes) page(w http.ResponseWriter, httpStatus int, n notice) {
	var out bytes.Buffer
	if err := noticePage.Execute(&out, n); err != nil {
		b.Logger.Error("writing a page failed", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", PagePolicy("'self' "+b.Provider.Origin()))
	w.WriteHeader(httpStatus)
	_, _ = w.Write(out.Bytes())
}
