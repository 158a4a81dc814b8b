package mailsink_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/mailsink"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func start(t *testing.T) *mailsink.Sink {
	t.Helper()
	clock := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	sink, err := mailsink.Listen("127.0.0.1:0", nil, clock, meshtest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	ctx := t.Context()
	wait.Go(func() {
		if err := sink.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wait.Wait)
	return sink
}

func send(t *testing.T, sink *mailsink.Sink, message string) {
	t.Helper()
	err := smtp.SendMail(sink.Addr(), nil, "alarm@realguardio.example", []string{"mary@acme.example"}, []byte(strings.ReplaceAll(message, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	tests := []struct{ name, message, subject, text string }{
		{"a plain message", "Subject: Alarm at Oakland\n\nZone 3, back door\n", "Alarm at Oakland", "Zone 3, back door"},
		{"an encoded subject and a quoted-printable body", "Subject: =?UTF-8?q?Alarm_=E2=80=93_Oakland?=\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: quoted-printable\n\nZone =E2=80=93 3\n", "Alarm – Oakland", "Zone – 3"},
		{"the text of a message in two forms", "Subject: Two\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>no</p>\n--b\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\neWVz\n--b--\n", "Two", "yes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := start(t)
			send(t, sink, tt.message)
			got := sink.Messages()
			if len(got) != 1 || got[0].Subject != tt.subject || got[0].Text != tt.text || got[0].To[0] != "mary@acme.example" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOnlyTheNewestMessagesAreKept(t *testing.T) {
	sink := start(t)
	client, err := smtp.Dial(sink.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 205 {
		if err := client.Mail("a@b.example"); err != nil {
			t.Fatal(err)
		}
		if err := client.Rcpt("c@d.example"); err != nil {
			t.Fatal(err)
		}
		w, err := client.Data()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "Subject: %d\r\n\r\nx\r\n", i+1)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got := sink.Messages()
	if len(got) != 200 || got[0].Subject != "205" || got[199].Subject != "6" {
		t.Errorf("kept %d, newest %s, oldest %s", len(got), got[0].Subject, got[len(got)-1].Subject)
	}
}

func TestTooLongAMessageIsRefused(t *testing.T) {
	sink := start(t)
	err := smtp.SendMail(sink.Addr(), nil, "a@b.example", []string{"c@d.example"}, []byte("Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000)))
	if err == nil || len(sink.Messages()) != 0 {
		t.Errorf("err %v, kept %d", err, len(sink.Messages()))
	}
}

func TestPage(t *testing.T) {
	sink := start(t)
	send(t, sink, "Subject: <script>alert(1)</script>\n\n<img src=x onerror=alert(2)>\n")
	get := func(method, accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/dev/outbox", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		sink.Handler().ServeHTTP(w, r)
		return w
	}
	html := get(http.MethodGet, "text/html,application/json;q=0.9")
	body := html.Body.String()
	if strings.Contains(body, "<script") || strings.Contains(body, "<img") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("markup of a message reached the page:\n%s", body)
	}
	if csp := html.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	var answer struct{ Messages []mailsink.Message }
	if err := json.Unmarshal(get(http.MethodGet, "application/json").Body.Bytes(), &answer); err != nil || len(answer.Messages) != 1 {
		t.Errorf("JSON: %v, %+v", err, answer)
	}
	if code := get(http.MethodPost, "*/*").Code; code != http.StatusMethodNotAllowed {
		t.Errorf("POST answered %d", code)
	}
}
