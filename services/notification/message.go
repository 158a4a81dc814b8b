package notification

import (
	"cmp"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
)

//go:embed templates
var templateFiles embed.FS

// Message is a mail to one person.
type Message struct {
	// ID is the delivery's: the same in every attempt, so that a mail server which got the message twice can tell.
	ID      string
	Name    string
	Address string
	Subject string
	Text    string
	HTML    string
}

// writer writes messages from templates.
type writer struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

func newWriter() (writer, error) {
	text, err := texttemplate.ParseFS(templateFiles, "templates/message.txt")
	if err != nil {
		return writer{}, fmt.Errorf("read text template: %w", err)
	}
	html, err := htmltemplate.ParseFS(templateFiles, "templates/message.html")
	if err != nil {
		return writer{}, fmt.Errorf("read HTML template: %w", err)
	}
	return writer{text: text, html: html}, nil
}

// facts are what the templates may show; each is one line.
type facts struct {
	Kind                                                       string
	Subject, Location, Alarm, Mode, Detail, Actor, Time, Color string
}

// write returns what d says of n.
func (w writer) write(d Delivery, n Notice) (Message, error) {
	f := facts{
		Kind: string(n.Kind), Subject: d.Subject, Location: oneLine(n.LocationName), Alarm: n.Alarm, Mode: n.Mode,
		Detail: oneLine(n.Detail), Actor: oneLine(cmp.Or(n.ActorName, "The application "+n.ActorID)),
		Time:  n.Time.UTC().Format("2 January 2006 at 15:04:05 UTC"),
		Color: map[Kind]string{Alarm: "#b42318", Armed: "#175cd3", Disarmed: "#3f7d20"}[n.Kind],
	}
	var text, html strings.Builder
	if err := w.text.Execute(&text, f); err != nil {
		return Message{}, fmt.Errorf("write text: %w", err)
	}
	if err := w.html.Execute(&html, f); err != nil {
		return Message{}, fmt.Errorf("write HTML: %w", err)
	}
	return Message{
		ID: d.ID, Name: oneLine(d.Name), Address: d.Address, Subject: d.Subject, Text: text.String(), HTML: html.String(),
	}, nil
}
