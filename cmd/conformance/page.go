package main

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// webPage is a page as a server sent it.
type webPage struct {
	url    *url.URL
	status int
	body   string
}

// webForm is a form of a page, filled in as far as the page does.
type webForm struct {
	method, action string
	fields         url.Values
	// asksPassword says that somebody shall sign in; username and password are the names of its fields then.
	asksPassword       bool
	username, password string
}

// title is what a page is called, or its status where it is called nothing.
func (p webPage) title() string {
	title := ""
	walk(p.parsed(), func(n *html.Node) {
		if n.DataAtom == atom.Title && n.FirstChild != nil && title == "" {
			title = strings.TrimSpace(n.FirstChild.Data)
		}
	})
	if title == "" {
		return http.StatusText(p.status)
	}
	return title
}

func (p webPage) parsed() *html.Node {
	root, err := html.Parse(strings.NewReader(p.body))
	if err != nil { // only of the reader, which has none
		return &html.Node{}
	}
	return root
}

// form returns the form to go on with: one that asks for a password, or else the page's first that posts.
func (p webPage) form() (f webForm, found bool) {
	walk(p.parsed(), func(n *html.Node) {
		if n.DataAtom != atom.Form || !strings.EqualFold(attribute(n, "method"), http.MethodPost) {
			return
		}
		action, err := p.url.Parse(attribute(n, "action"))
		if err != nil {
			return
		}
		action.Fragment = ""
		next := webForm{method: http.MethodPost, action: action.String(), fields: url.Values{}}
		walk(n, next.control)
		if !found || next.asksPassword && !f.asksPassword {
			f, found = next, true
		}
	})
	return f, found
}

// control takes in a field or a button. Of several buttons it presses the one that stands out: that which says yes.
func (f *webForm) control(n *html.Node) {
	name, kind := attribute(n, "name"), strings.ToLower(attribute(n, "type"))
	switch {
	case name == "":
	case n.DataAtom == atom.Button:
		if !f.fields.Has(name) || strings.Contains(attribute(n, "class"), "primary") {
			f.fields.Set(name, attribute(n, "value"))
		}
	case n.DataAtom != atom.Input:
	case kind == "password":
		f.asksPassword, f.password = true, name
	case kind == "email" || kind == "text" || kind == "":
		f.username = name
	case kind == "hidden":
		f.fields.Add(name, attribute(n, "value"))
	}
}

func walk(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for child := range n.ChildNodes() {
		walk(child, visit)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
