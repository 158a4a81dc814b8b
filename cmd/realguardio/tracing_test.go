package main_test

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestWhatARunTellsOfItself watches a whole run from outside.
func TestWhatARunTellsOfItself(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100") // milliseconds, instead of seconds
	c, bolt := collectTraces(t), startPartner(t)
	s := startDev(t, "--ephemeral", "--log-level", "debug", "--log-format", "json", "--trace-endpoint", c.url, "--trusted-issuers-file", bolt.file)
	t.Run("one trace goes from a browser's call to the mail that it causes", func(t *testing.T) { checkOneTrace(t, s, c) })
	t.Run("one trace goes from who forgot a password to the letter", func(t *testing.T) { checkLetterTrace(t, s, c) })
	s.api(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/securitysystems", nil, bearer("no token"))
	post(t, s.http, s.Issuer+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, basic("demo-service", "not the secret"))
	t.Run("the dashboard, the alerts and the manual name what there is", func(t *testing.T) { checkMetrics(t, s) })
	t.Run("no secret is in anything that comes out", func(t *testing.T) { checkNoSecretComesOut(t, s, c, bolt) })
}

// checkOneTrace arms a system in a browser and follows the one trace of that: through the gateway, the services, their
// databases, the outbox and the stream to the mail.
func checkOneTrace(t *testing.T, s *stand, c *traces) {
	browser := s.signIn(t, "mary")
	oakland := s.systems(t, bearer(s.tokenOf(t, "mary")))["Oakland"]
	proof := s.csrfToken(t, browser)
	theirs := "0af7651916cd43dd8448eb211c80319c"
	a := call(t, browser, http.MethodPost, s.Gateway+"/api/v1/securitysystems/"+oakland.ID+":arm", map[string]string{"mode": "AWAY"},
		func(r *http.Request) {
			r.Header.Set("X-CSRF-Token", proof)
			r.Header.Set("Traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
			r.Header.Set("Baggage", "user=mary")
		})
	if a.status != http.StatusOK {
		t.Fatalf("arming: %d %s", a.status, a.body)
	}
	trace := traceOf(a)
	if len(trace) != 32 || trace == theirs {
		t.Fatalf("the answer tells of the trace %q", a.header.Get("Server-Timing"))
	}
	const stream = "realguardio:events:securitysystem"
	eventually(t, "every hop has its span", func() error {
		found := c.of(trace)
		for _, want := range []string{
			"gateway: POST /api/",
			"gateway: realguardio.securitysystem.v1.SecuritySystemService/ArmSecuritySystem",
			"securitysystem: realguardio.securitysystem.v1.SecuritySystemService/ArmSecuritySystem",
			"securitysystem: realguardio.customer.v1.CustomerService/ListMyGrants",
			"customer: realguardio.customer.v1.CustomerService/ListMyGrants",
			"customer: SELECT held_grants",
			"securitysystem: TRANSACTION",
			"securitysystem: UPDATE security_system",
			"securitysystem: INSERT outbox",
			"securitysystem: publish " + stream,
			"notification: process " + stream,
			"notification: address notice",
			"notification: realguardio.customer.v1.CustomerService/ListRecipients",
			"customer: realguardio.customer.v1.CustomerService/ListRecipients",
			"notification: send mail",
		} {
			if _, ok := found[want]; !ok {
				return problem("no %q among %v", want, names(found))
			}
		}
		return nil
	})
	found := c.of(trace)
	eventually(t, "every span's parent is in the trace", func() error { // which ends after it
		all, known := c.all(trace), map[string]bool{"": true}
		for _, one := range all {
			known[one.id] = true
		}
		for _, one := range all {
			if !known[one.parent] {
				return problem("not that of %s: %s", one.part, one.name)
			}
		}
		return nil
	})
	armed := found["securitysystem: realguardio.securitysystem.v1.SecuritySystemService/ArmSecuritySystem"].attributes
	if armed["mesh.caller.kind"] != "user" || armed["mesh.caller.client_id"] != "realguardio-web" || armed["mesh.request_id"] != a.header.Get("X-Request-Id") {
		t.Errorf("the service's span says %v", armed)
	}
	if len(c.of(theirs)) > 0 {
		t.Error("a stranger's trace was gone on with")
	}
	eventually(t, "the log of every part names the trace", func() error {
		seen := map[string]bool{}
		for line := range strings.Lines(s.log.String()) {
			var entry struct {
				Part    string
				TraceID string `json:"trace_id"`
			}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.TraceID == trace {
				seen[entry.Part] = true
			}
		}
		if !seen["gateway"] || !seen["securitysystem"] || !seen["customer"] {
			return problem("only %v", names(seen))
		}
		return nil
	})
}

// checkLetterTrace asks for another password, and follows the one trace of that to the letter with the link.
func checkLetterTrace(t *testing.T, s *stand, c *traces) {
	browser := s.browser(t)
	page := call(t, browser, http.MethodGet, s.Issuer+"/forgot", nil, accepting("text/html"))
	form := url.Values{"username": {s.user(t, "victor").Username}}
	for _, field := range hidden.FindAllSubmatch(page.body, -1) {
		form.Set(string(field[1]), string(field[2]))
	}
	trace := traceOf(post(t, browser, s.Issuer+"/forgot", form))
	eventually(t, "the letter is in the trace", func() error {
		found := c.of(trace)
		for _, want := range []string{"token: POST /forgot", "token: INSERT letters", "token: look for who forgot a password", "token: SELECT users", "token: send letter"} {
			if _, ok := found[want]; !ok {
				return problem("no %q among %v", want, names(found))
			}
		}
		return nil
	})
}

// traceOf is the trace that an answer says it belongs to.
func traceOf(a answer) string {
	_, told, _ := strings.Cut(a.header.Get("Server-Timing"), `traceparent;desc="00-`)
	trace, _, _ := strings.Cut(told, "-")
	return trace
}

func hexOf(id []byte) string { return hex.EncodeToString(id) }
