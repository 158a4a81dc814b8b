package pages

import "io"

// Account shows a person what there is of them here, and lets them end what they do not want any more.
type Account struct {
	Name, Email string
	Verified    bool
	// HasPassword tells whether there is one to change.
	HasPassword bool
	// Proof shows that a form comes from this page.
	Proof    string
	Sessions []Session
	Apps     []App
	Links    []IdentityLink
	// Notice is what became of the last change; Problem why it did not.
	Notice, Problem string
}

// Session is a browser's login.
type Session struct {
	ID      string
	Current bool
	// Browser and Address are where it was begun; empty if that is not known.
	Browser, Address string
	// Since is when its person last signed in in it.
	Since string
}

// App is an application that may act for the person.
type App struct {
	ClientID, Name string
	// Scopes are what it may do, in words.
	Scopes []string
	Since  string
}

// IdentityLink is another provider that signs the person in.
type IdentityLink struct {
	// Issuer tells it apart; Provider is what people call it.
	Issuer, Provider string
	Email            string
	Since            string
	// Last says that there is no other way in.
	Last bool
}

// ChangePassword asks for a password and another one.
type ChangePassword struct {
	Username, Proof string
	// CurrentProblem, Problem and RepeatProblem are what was wrong with each.
	CurrentProblem, Problem, RepeatProblem string
}

// Account writes the page.
func (r *Renderer) Account(w io.Writer, p Account) error {
	return r.draw(w, "account.html", struct {
		Title string
		Account
	}{"Your account", p})
}

// ChangePassword writes the page.
func (r *Renderer) ChangePassword(w io.Writer, p ChangePassword) error {
	return r.draw(w, "change-password.html", struct {
		Title string
		ChangePassword
	}{"Change your password", p})
}
