// Package pages draws what people see of the identity provider. The pages work without JavaScript, and every value in
// them is escaped by html/template. When a page is shown is decided by package web.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"io/fs"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets
var assets embed.FS

// Login asks for user name and password.
type Login struct {
	Application string
	// ClientID goes along so that an answer that comes too late still knows the way back.
	ClientID    string
	Transaction string
	Username    string
	// Providers are other places to sign in at.
	Providers []Provider
	// Problem is what was wrong with the last try; empty at first. Notice is what became of a try elsewhere.
	Problem, Notice string
	// Recovery tells whether there is a way to another password.
	Recovery bool
}

// Provider is a place to sign in at.
type Provider struct{ ID, Name string }

// Leave sends the browser to another provider. It is a page, as a form may only be answered by a redirect to addresses
// that were known when it was shown.
type Leave struct{ Provider, To string }

// LinkIdentity asks for the account that goes with an identity at another provider.
type LinkIdentity struct {
	ClientID, Transaction string
	Provider              string
	// Identity is the e-mail address that the provider knows; empty for none.
	Identity          string
	Username, Problem string
}

// Forgot asks for the address of somebody who wants another password.
type Forgot struct {
	ClientID string
	Username string
	Problem  string
}

// Password lets somebody choose a password who was sent a link for it.
type Password struct {
	// Link is the link's secret.
	Link     string
	Username string
	// Invited tells whether it is the first one.
	Invited bool
	// Problem is what is wrong with the password, RepeatProblem with how it was repeated.
	Problem, RepeatProblem string
}

// Verify asks whether an address belongs to whom a link to it has reached.
type Verify struct {
	// Link is the link's secret.
	Link  string
	Email string
	// Name is that of the account: who gets a link to somebody else's shall see that it is not theirs.
	Name string
	// Changes tells whether the account has another address until then.
	Changes bool
}

// Consent asks whether an application may act for a person.
type Consent struct {
	Application string
	ClientID    string
	Transaction string
	Username    string
	// Scopes are what it will be able to do, in words.
	Scopes []string
	// Destination is where the browser will be sent.
	Destination string
}

// Device asks for the code that a device shows.
type Device struct {
	Username string
	// Code is what was typed, or came with the link.
	Code    string
	Problem string
}

// ConnectDevice asks whether a device may act for a person.
type ConnectDevice struct {
	Application string
	Transaction string
	Username    string
	// Code is to be compared with what the device shows.
	Code   string
	Scopes []string
}

// Logout asks whether to sign out.
type Logout struct {
	Username string
	// Proof shows that the answer comes from this page.
	Proof                        string
	ClientID, Destination, State string
}

// FormPost sends the browser on with a form.
type FormPost struct {
	// Action is where the form goes, Destination the same in words.
	Action, Destination string
	Fields              []Field
	// Nonce is that of the script which submits the form where scripts run.
	Nonce string
}

// Field is a hidden field of a form.
type Field struct{ Name, Value string }

// Message tells something that needs no answer.
type Message struct {
	Title, Text string
	// Way is where to go from here; the zero Link if that is not known.
	Way Link
	// Forgot tells to offer another link to choose a password by.
	Forgot bool
	// RequestID is what to tell the operator; empty if nothing went wrong.
	RequestID string
}

// Link leads to an application.
type Link struct{ URL, Application string }

// Renderer draws pages. It is safe for concurrent use.
type Renderer struct{ templates *template.Template }

// New parses the pages.
func New() (*Renderer, error) {
	parsed, err := template.ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the pages: %w", err)
	}
	return &Renderer{parsed}, nil
}

// Login writes the page, or nothing when it fails; so do the others.
func (r *Renderer) Login(w io.Writer, p Login) error {
	return r.draw(w, "login.html", struct {
		Title string
		Login
	}{"Sign in", p})
}

// Leave writes the page.
func (r *Renderer) Leave(w io.Writer, p Leave) error {
	return r.draw(w, "leave.html", struct {
		Title string
		Leave
	}{"Sign in with " + p.Provider, p})
}

// LinkIdentity writes the page.
func (r *Renderer) LinkIdentity(w io.Writer, p LinkIdentity) error {
	return r.draw(w, "link.html", struct {
		Title string
		LinkIdentity
	}{"Connect your account", p})
}

// Consent writes the page.
func (r *Renderer) Consent(w io.Writer, p Consent) error {
	return r.draw(w, "consent.html", struct {
		Title string
		Consent
	}{"Allow access", p})
}

// Device writes the page.
func (r *Renderer) Device(w io.Writer, p Device) error {
	return r.draw(w, "device.html", struct {
		Title string
		Device
	}{"Connect a device", p})
}

// ConnectDevice writes the page.
func (r *Renderer) ConnectDevice(w io.Writer, p ConnectDevice) error {
	return r.draw(w, "connect.html", struct {
		Title string
		ConnectDevice
	}{"Connect a device", p})
}

// Logout writes the page.
func (r *Renderer) Logout(w io.Writer, p Logout) error {
	return r.draw(w, "logout.html", struct {
		Title string
		Logout
	}{"Sign out", p})
}

// FormPost writes the page.
func (r *Renderer) FormPost(w io.Writer, p FormPost) error {
	return r.draw(w, "formpost.html", struct {
		Title string
		FormPost
	}{"Almost there", p})
}

// Forgot writes the page.
func (r *Renderer) Forgot(w io.Writer, p Forgot) error {
	return r.draw(w, "forgot.html", struct {
		Title string
		Forgot
	}{"Forgot your password?", p})
}

// Password writes the page.
func (r *Renderer) Password(w io.Writer, p Password) error {
	title := "Choose a new password"
	if p.Invited {
		title = "Choose a password"
	}
	return r.draw(w, "password.html", struct {
		Title string
		Password
	}{title, p})
}

// Verify writes the page.
func (r *Renderer) Verify(w io.Writer, p Verify) error {
	return r.draw(w, "verify.html", struct {
		Title string
		Verify
	}{"Confirm your address", p})
}

// Message writes the page.
func (r *Renderer) Message(w io.Writer, p Message) error { return r.draw(w, "message.html", p) }

func (r *Renderer) draw(w io.Writer, name string, data any) error {
	var page bytes.Buffer
	if err := r.templates.ExecuteTemplate(&page, name, data); err != nil {
		return fmt.Errorf("drawing %s: %w", name, err)
	}
	_, err := page.WriteTo(w)
	return err
}

// Asset is a file that pages refer to, under /assets/.
type Asset struct {
	Type    string
	ETag    string
	Content []byte
}

// Assets returns the files by name.
func Assets() (map[string]Asset, error) {
	out := map[string]Asset{}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"} {
		content, err := fs.ReadFile(assets, "assets/"+name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		sum := sha256.Sum256(content)
		out[name] = Asset{Type: kind, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`, Content: content}
	}
	return out, nil
}
