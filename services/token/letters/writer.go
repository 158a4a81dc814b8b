package letters

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/token/account"
)

//go:embed templates
var templateFiles embed.FS

// writer writes letters from templates.
type writer struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

func newWriter() (writer, error) {
	text, err := texttemplate.ParseFS(templateFiles, "templates/letter.txt")
	if err != nil {
		return writer{}, fmt.Errorf("parsing the letters' text: %w", err)
	}
	html, err := htmltemplate.ParseFS(templateFiles, "templates/letter.html")
	if err != nil {
		return writer{}, fmt.Errorf("parsing the letters' HTML: %w", err)
	}
	return writer{text, html}, nil
}

// wording is what a kind of letter says. No name stands in it: whoever invites somebody chooses that, and could have us
// send their own words to anybody.
type wording struct {
	// Subject is the heading too.
	Subject string
	Says    string
	// Button is on the link; empty without one.
	Button string
	// Else is what to do if it was not the reader.
	Else string
}

var wordings = map[account.LetterKind]wording{
	account.InvitationLetter: {"Your RealGuardIO account", "An account was made for you with this e-mail address. Choose a password to use it.",
		"Choose a password", "If you did not expect this, you can ignore it."},
	account.ResetLetter: {"Choose a new password", "Somebody, hopefully you, has asked for a new password for your RealGuardIO account.",
		"Choose a new password", "If it was not you, ignore this: your password stays as it is."},
	account.VerificationLetter: {"Confirm your e-mail address", "Please confirm that this address belongs to you.",
		"Confirm the address", "If you do not have a RealGuardIO account, ignore this."},
	account.NewAddressLetter: {"Confirm your new e-mail address", "Somebody, hopefully you, wants to use this address for a RealGuardIO account.",
		"Use this address", "If it was not you, ignore this: nothing is changed."},
	account.AddressAskedLetter: {"Another e-mail address was asked for", "Somebody who knows your password has asked to change the e-mail address of your RealGuardIO account. It changes once the new address is confirmed.",
		"", "If it was not you, choose a new password now."},
	account.AddressChangedLetter: {"Your e-mail address was changed", "The e-mail address of your RealGuardIO account is another one now. You sign in with that one.",
		"", "If it was not you, tell whoever manages RealGuardIO for you."},
	account.IdentityLinkedLetter: {"Another provider signs you in", "From now on you can sign in to RealGuardIO with your account at another provider too.",
		"", "If it was not you, disconnect it on the page of your account, and choose a new password there."},
	account.PasswordChangedLetter: {"Your password was changed", "Another password was chosen for your RealGuardIO account. Everybody who was signed in with the one before was signed out.",
		"", "If it was not you, choose a new password now."},
}

// write returns the mail of a letter. url is its link, good until a time; empty without one.
func (w writer) write(l account.Letter, issuer, url string, until time.Time) (mail.Message, error) {
	says, known := wordings[l.Kind]
	if !known {
		return mail.Message{}, fmt.Errorf("%w: nobody knows what a letter %q says", mail.ErrRefused, l.Kind)
	}
	facts := struct {
		wording
		URL, Until, Where string
	}{wording: says, URL: url, Until: until.UTC().Format("2 January 2006 at 15:04 UTC")}
	switch l.Kind {
	case account.PasswordChangedLetter, account.AddressAskedLetter:
		facts.Where = issuer + "/forgot"
	case account.IdentityLinkedLetter:
		facts.Where = issuer + "/account"
	}
	var text, html strings.Builder
	if err := w.text.Execute(&text, facts); err != nil {
		return mail.Message{}, fmt.Errorf("writing a letter's text: %w", err)
	}
	if err := w.html.Execute(&html, facts); err != nil {
		return mail.Message{}, fmt.Errorf("writing a letter's HTML: %w", err)
	}
	return mail.Message{ID: l.ID, Address: l.Address, Subject: says.Subject, Text: text.String(), HTML: html.String()}, nil
}
