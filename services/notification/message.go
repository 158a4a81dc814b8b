package notification

import (
	"cmp"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"

	"github.com/realguardio/realguardio/services/internal/mail"
)

//go:embed templates
var templateFiles embed.FS

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
func (w writer) write(d Delivery, n Notice) (mail.Message, error) {
	f := facts{
		Kind: string(n.Kind), Subject: d.Subject, Location: mail.OneLine(n.LocationName), Alarm: n.Alarm, Mode: n.Mode,
		Detail: mail.OneLine(n.Detail), Actor: mail.OneLine(cmp.Or(n.ActorName, "The application "+n.ActorID)),
		Time:  n.Time.UTC().Format("2 January 2006 at 15:04:05 UTC"),
		Color: map[Kind]string{Alarm: "#b42318", Armed: "#175cd3", Disarmed: "#3f7d20"}[n.Kind],
	}
	var text, html strings.Builder
	if err := w.text.Execute(&text, f); err != nil {
		return mail.Message{}, fmt.Errorf("write text: %w", err)
	}
	if err := w.html.Execute(&html, f); err != nil {
		return mail.Message{}, fmt.Errorf("write HTML: %w", err)
	}
	return mail.Message{
		ID: d.ID, Name: mail.OneLine(d.Name), Address: d.Address, Subject: d.Subject, Text: text.String(), HTML: html.String(),
	}, nil
}
