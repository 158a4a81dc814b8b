package stand

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Person is somebody at a browser that runs no scripts. It keeps cookies, follows redirects and sends forms.
type Person struct {
	t       testing.TB
	user    User
	browser *http.Client
}

// Page is where a browser has arrived.
type Page struct {
	URL    *url.URL
	Status int
	Text   string
	person *Person
}

// Person is an account's holder at a browser that has never been here.
func (s *Stand) Person(t testing.TB, name string) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Person{t: t, user: s.User(t, name), browser: &http.Client{Jar: jar}}
}

// Open goes to an address.
func (p *Person) Open(address string) *Page {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.send(request)
}

// SignIn answers the sign-in page.
func (page *Page) SignIn() *Page {
	page.person.t.Helper()
	return page.Press("Sign in", url.Values{"username": {page.person.user.Username}, "password": {page.person.user.Password}})
}

// Press sends the form that has a button with this label, filled in with fields.
func (page *Page) Press(label string, fields url.Values) *Page {
	p := page.person
	p.t.Helper()
	for _, form := range forms.FindAllStringSubmatch(page.Text, -1) {
		for _, button := range buttons.FindAllStringSubmatch(form[2], -1) {
			if strings.TrimSpace(button[2]) != label {
				continue
			}
			values := url.Values{}
			for _, input := range inputs.FindAllStringSubmatch(form[2], -1) {
				values.Set(attribute(input[1], "name"), attribute(input[1], "value"))
			}
			if name := attribute(button[1], "name"); name != "" {
				values.Set(name, attribute(button[1], "value"))
			}
			for name, value := range fields {
				values[name] = value
			}
			return p.post(page.URL, attribute(form[1], "action"), values)
		}
	}
	p.t.Fatalf("no button %q at %s:\n%s", label, page.URL, page.Text)
	return nil
}

func (p *Person) post(from *url.URL, action string, values url.Values) *Page {
	p.t.Helper()
	to, err := from.Parse(action)
	if err != nil {
		p.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", from.Scheme+"://"+from.Host)
	return p.send(request)
}

func (p *Person) send(request *http.Request) *Page {
	p.t.Helper()
	response, err := p.browser.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return &Page{URL: response.Request.URL, Status: response.StatusCode, Text: string(body), person: p}
}

var (
	forms   = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	inputs  = regexp.MustCompile(`<input([^>]*)>`)
	buttons = regexp.MustCompile(`(?s)<button([^>]*)>(.*?)</button>`)
)

// attribute is the value of one in a tag; "" without.
func attribute(tag, name string) string {
	found := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}
