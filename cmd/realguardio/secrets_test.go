package main_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

// checkNoSecretComesOut walks the installation as people, programs and the clumsy do, and then looks for everything secret
// that was used or issued in everything that came out of it.
func checkNoSecretComesOut(t *testing.T, s *stand, c *traces, bolt partner) {
	h := &harvest{base: s.http.Transport, secrets: &meshtest.Secrets{}, refusals: map[string][]byte{}}
	s.http.Transport = h
	for _, client := range s.Clients {
		h.secrets.Add("secret of "+client.ID, client.Secret)
	}
	for _, key := range s.APIKeys {
		h.secrets.Add("API key", key.Secret)
	}
	h.secrets.Add("secret at an issuer of others", bolt.secret)
	s.addFiles(t, h.secrets)

	tokens := s.walkGrants(t)
	s.walkBrowser(t)
	s.walkRecovery(t)
	s.walkPartner(t)
	s.walkMistakes(t, tokens)

	var audit []byte
	admin := s.tokenOf(t, "admin")
	for page := ""; ; {
		a := s.api(t, http.StatusOK, http.MethodGet, "/api/v1/audit/token?pageSize=100&pageToken="+page, nil, bearer(admin))
		audit = append(audit, a.body...)
		var more struct{ NextPageToken string }
		a.decode(t, &more)
		if page = more.NextPageToken; page == "" {
			break
		}
	}
	served, metrics := s.scrape(t)
	for _, counted := range []string{"mesh_introspection_requests_total", "mesh_introspection_failures_total", "realguardio_gateway_credential_refused_total"} {
		if served[counted] == nil {
			t.Errorf("nothing shows %s", counted)
		}
	}
	if code := s.stop(); code != 0 { // the last spans and lines come with it
		t.Errorf("exit code %d", code)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for where, text := range map[string][]byte{"the log": []byte(s.log.String()), "the traces": c.raw, "the metrics": []byte(metrics), "the audit log": audit} {
		if len(text) < 2000 {
			t.Errorf("%s has only %d bytes", where, len(text))
		}
		h.secrets.Absent(t, where, text)
		// What only the parts know: the tokens that they send each other, and those behind a session.
		if found := regexp.MustCompile(`eyJ[\w-]{10}|(?i:Bearer|Basic|DPoP) [\w.-]{16}|rg[sot]_[\w-]{8}`).Find(text); found != nil {
			t.Errorf("%s has %q...", where, found)
		}
	}
	for _, person := range s.Users {
		for where, text := range map[string]string{"the traces": string(c.raw), "the metrics": metrics} {
			if strings.Contains(text, person.Username) || strings.Contains(text, person.Sub) {
				t.Errorf("%s name %s", where, person.Username)
			}
		}
	}
	if len(h.refusals) < 15 || h.secrets.Len() < 60 {
		t.Errorf("only %d refusals and %d secrets", len(h.refusals), h.secrets.Len())
	}
	for asked, text := range h.refusals {
		h.secrets.Absent(t, "the refusal of "+asked, text)
	}
	t.Logf("%d secrets, %d kinds of refusals", h.secrets.Len(), len(h.refusals))
}

// addFiles remembers what lies in the data folder: the keys, and the secrets of the parts.
func (s *stand) addFiles(t *testing.T, secrets *meshtest.Secrets) {
	t.Helper()
	data := filepath.Dir(filepath.Dir(s.CAFile))
	for _, folder := range []string{"keys", "secrets"} {
		files, err := filepath.Glob(filepath.Join(data, folder, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", folder, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			secrets.Add("file "+filepath.Base(file), strings.TrimSpace(string(content)))
		}
	}
}

// form posts to the issuer as a client, and returns the answer's members.
func (s *stand) form(t *testing.T, path string, form url.Values, with ...as) map[string]any {
	t.Helper()
	a := post(t, s.http, s.Issuer+path, form, with...)
	members := map[string]any{}
	_ = json.Unmarshal(a.body, &members) // a refusal that is no JSON has none
	return members
}

func text(members map[string]any, name string) string {
	value, _ := members[name].(string)
	return value
}

// walkGrants gets tokens in every way that programs have, and uses, introspects and revokes them.
func (s *stand) walkGrants(t *testing.T) []string {
	t.Helper()
	trusted, mary := s.client(t, "demo-trusted"), s.user(t, "mary")
	first := s.form(t, "/oauth2/token", url.Values{"grant_type": {"password"}, "username": {mary.Username}, "password": {mary.Password},
		"scope": {"openid offline_access securitysystem.read securitysystem.arm"}}, basic(trusted.ID, trusted.Secret))
	second := s.form(t, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(first, "refresh_token")},
		"client_id": {trusted.ID}, "client_secret": {trusted.Secret}})
	access, refresh := text(second, "access_token"), text(second, "refresh_token")
	if access == "" || refresh == "" {
		t.Fatalf("no tokens: %v", second)
	}
	s.api(t, http.StatusOK, http.MethodGet, "/api/v1/securitysystems", nil, bearer(access))

	opaque := s.client(t, "demo-opaque")
	hidden := text(s.form(t, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, basic(opaque.ID, opaque.Secret)), "access_token")
	s.api(t, http.StatusOK, http.MethodGet, "/api/v1/securitysystems", nil, bearer(hidden))

	key := s.APIKeys[0]
	for _, with := range []as{basic(key.Key, key.Secret), bearer(key.Key + "." + key.Secret)} {
		s.api(t, http.StatusOK, http.MethodGet, "/api/v1/securitysystems", nil, with)
	}
	var made struct {
		Client       struct{ ClientID string }
		ClientSecret string
	}
	admin := bearer(s.tokenOf(t, "admin"))
	s.api(t, http.StatusCreated, http.MethodPost, "/api/v1/clients", map[string]any{
		"name": "Report", "grantTypes": []string{"client_credentials"}, "scopes": []string{"securitysystem.read"}}, admin).decode(t, &made)
	s.token(t, remote.Credentials{ClientID: made.Client.ClientID, ClientSecret: made.ClientSecret})

	part := strings.TrimSpace(s.file(t, "secrets/customer-client-secret"))
	s.form(t, "/oauth2/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {access},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {"urn:realguardio:customer"}}, basic("customer", part))

	device := s.form(t, "/oauth2/device_authorization", url.Values{"client_id": {"realguardio-cli"}, "scope": {"openid offline_access"}})
	s.connect(t, "victor", text(device, "user_code"))
	s.form(t, "/oauth2/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {text(device, "device_code")},
		"client_id": {"realguardio-cli"}})

	s.form(t, "/oauth2/introspect", url.Values{"token": {access}}, basic("customer", part))
	s.form(t, "/oauth2/revoke", url.Values{"token": {text(first, "refresh_token")}}, basic(trusted.ID, trusted.Secret))
	panel := s.client(t, "panel_")
	s.token(t, remote.Credentials{ClientID: panel.ID, ClientSecret: panel.Secret})
	return []string{access, refresh, hidden, trusted.Secret}
}

func (s *stand) file(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(s.CAFile)), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// walkPartner comes with tokens that only an issuer of others can read, over REST and at a service itself.
func (s *stand) walkPartner(t *testing.T) {
	t.Helper()
	for token, want := range map[string]int{partnerLive: http.StatusOK, partnerEnded: http.StatusUnauthorized, partnerBroken: http.StatusServiceUnavailable} {
		for range 2 {
			got := call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, bearer(token))
			if got.status != want {
				t.Errorf("%s: %d %s", token, got.status, got.body)
			}
		}
		_, _ = securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, "securitysystem")).
			GetSecuritySystem(withToken(t.Context(), token), &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: "x"})
	}
	call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, bearer("rgo_"+partnerEnded))
	call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, basic(s.APIKeys[0].Key, "not the secret"))
}

// walkBrowser signs in, changes something, fails at it, and signs out at the issuer, which tells the gateway.
func (s *stand) walkBrowser(t *testing.T) {
	t.Helper()
	browser := s.signIn(t, "alice")
	proof := s.csrfToken(t, browser)
	hayward := s.systems(t, bearer(s.tokenOf(t, "alice")))["Hayward"]
	arm := s.Gateway + "/api/v1/securitysystems/" + hayward.ID + ":arm"
	for _, given := range []string{proof, "none", proof[:len(proof)-1] + "x"} {
		call(t, browser, http.MethodPost, arm, struct{}{}, func(r *http.Request) { r.Header.Set("X-CSRF-Token", given) })
	}
	call(t, browser, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, bearer("two credentials"))
	page := call(t, browser, http.MethodGet, s.Issuer+"/oauth2/logout", nil, accepting("text/html"))
	confirm := url.Values{}
	for _, field := range hidden.FindAllSubmatch(page.body, -1) {
		confirm.Set(string(field[1]), string(field[2]))
	}
	post(t, browser, s.Issuer+"/oauth2/logout/confirm", confirm)
	eventually(t, "the gateway was told", func() error {
		if got := call(t, browser, http.MethodGet, s.Gateway+"/api/auth/session", nil); strings.TrimSpace(string(got.body)) != "{}" {
			return problem("the session goes on")
		}
		return nil
	})
}

// walkRecovery chooses another password by a link in a mail, and tries the link again.
func (s *stand) walkRecovery(t *testing.T) {
	t.Helper()
	browser, eve := s.browser(t), s.user(t, "eve")
	fill := func(page answer, form url.Values) url.Values {
		for _, field := range hidden.FindAllSubmatch(page.body, -1) {
			form.Set(string(field[1]), string(field[2]))
		}
		return form
	}
	forgot := call(t, browser, http.MethodGet, s.Issuer+"/forgot", nil, accepting("text/html"))
	post(t, browser, s.Issuer+"/forgot", fill(forgot, url.Values{"username": {eve.Username}, "email": {eve.Username}}))
	var link string
	eventually(t, "the link is in the mail", func() error {
		var outbox struct {
			Messages []struct {
				To   []string
				Text string
			}
		}
		call(t, s.http, http.MethodGet, s.Outbox, nil, accepting("application/json")).decode(t, &outbox)
		for _, m := range outbox.Messages {
			if found := regexp.MustCompile(`https?://\S+/password\?link=\S+`).FindString(m.Text); found != "" && m.To[0] == eve.Username {
				link = found
				return nil
			}
		}
		return problem("no mail to %s", eve.Username)
	})
	const chosen = "a brand new pass phrase of eve"
	page := call(t, browser, http.MethodGet, link, nil, accepting("text/html"))
	for range 2 { // the second time it is spent
		post(t, browser, s.Issuer+"/password", fill(page, url.Values{"password": {chosen}, "repeat": {chosen}}))
		page = call(t, browser, http.MethodGet, link, nil, accepting("text/html"))
	}
}

// walkMistakes puts secrets where they do not belong.
func (s *stand) walkMistakes(t *testing.T, secrets []string) {
	t.Helper()
	mary := s.user(t, "mary")
	for _, secret := range secrets {
		for _, path := range []string{
			"/api/v1/securitysystems?access_token=" + url.QueryEscape(secret), "/api/v1/securitysystems/" + url.PathEscape(secret),
			"/api/v1/securitysystems?pageToken=" + url.QueryEscape(secret), "/api/" + url.PathEscape(secret), "/" + url.PathEscape(secret),
			"/api/v1/" + url.PathEscape(secret) + "/x?" + url.QueryEscape(secret), "/api/auth/callback/realguardio?code=" + url.QueryEscape(secret),
			"/api/auth/error?error=" + url.QueryEscape(secret),
		} {
			for _, with := range []as{bearer(secrets[0]), bearer(secret), func(*http.Request) {}} {
				call(t, s.http, http.MethodGet, s.Gateway+path, nil, with)
			}
		}
		for _, header := range [][2]string{
			{"Authorization", "Token " + secret}, {"Authorization", secret}, {"Authorization", "Digest username=" + secret}, {"Authorization", "bearer  " + secret},
			{"Authorization", "Bearer " + secret + ", Bearer " + secret}, {"If-Match", secret}, {"Idempotency-Key", secret}, {"Traceparent", secret},
			{"Cookie", "realguardio_session=" + secret}, {"X-Forwarded-For", secret}, {"Accept-Language", secret}, {"Origin", "https://" + secret},
		} {
			with := []as{func(r *http.Request) { r.Header.Set(header[0], header[1]) }}
			if header[0] != "Authorization" {
				with = append(with, bearer(secrets[0]))
			}
			call(t, s.http, http.MethodGet, s.Gateway+"/api/v1/securitysystems", nil, with...)
			call(t, s.http, http.MethodPost, s.Gateway+"/api/v1/securitysystems/x:arm", map[string]string{"mode": secret, secret: "x"}, with...)
			call(t, s.http, http.MethodGet, s.Issuer+"/oauth2/userinfo", nil, with...)
		}
		call(t, s.http, http.MethodPost, s.Gateway+"/api/auth/_log", map[string]string{"code": secret, "message": secret})
		post(t, s.http, s.Gateway+"/api/auth/backchannel-logout", url.Values{"logout_token": {secret}})
		for _, form := range []url.Values{
			{"grant_type": {secret}}, {"grant_type": {"refresh_token"}, "refresh_token": {secret + "x"}}, {"grant_type": {"client_credentials"}, "scope": {secret}},
			{"grant_type": {"client_credentials"}, "client_id": {secret}, "client_secret": {secret}}, {"grant_type": {"authorization_code"}, "code": {secret}},
			{"grant_type": {"client_credentials"}, "resource": {secret}, "audience": {secret}},
			{"grant_type": {"password"}, "username": {secret}, "password": {mary.Password}}, {secret: {secret}},
		} {
			for _, path := range []string{"/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/par", "/oauth2/device_authorization", "/oauth2/token?client_secret=" + url.QueryEscape(secret)} {
				s.form(t, path, form)
				s.form(t, path, form, basic("demo-trusted", s.client(t, "demo-trusted").Secret))
				s.form(t, path, form, basic(secret, secret))
			}
		}
		for _, path := range []string{
			"/oauth2/authorize?client_id=" + url.QueryEscape(secret), "/oauth2/authorize?client_id=demo-mobile&redirect_uri=" + url.QueryEscape("https://evil.example/"+secret),
			"/oauth2/logout?id_token_hint=" + url.QueryEscape(secret), "/password?link=" + url.QueryEscape(secret), "/verify?link=" + url.QueryEscape(secret),
			"/" + url.PathEscape(secret), "/device?user_code=" + url.QueryEscape(secret), "/login?tx=" + url.QueryEscape(secret), "/login/" + url.PathEscape(secret) + "/callback",
		} {
			call(t, s.http, http.MethodGet, s.Issuer+path, nil, accepting("text/html"))
		}
		for _, part := range []string{"gateway", "securitysystem", "token", "customer", "notification"} {
			for _, authorization := range []string{"Bearer " + secret + "x", "Basic " + secret, secret} {
				ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization, "x-token", secret, "traceparent", secret)
				_, _ = securitysystemv1.NewSecuritySystemServiceClient(s.dial(t, part)).GetSecuritySystem(ctx, &securitysystemv1.GetSecuritySystemRequest{SecuritySystemId: secret})
			}
			_ = s.dial(t, part).Invoke(withToken(t.Context(), secrets[0]), "/x.Y/"+secret[:20], &securitysystemv1.GetSecuritySystemRequest{}, &securitysystemv1.SecuritySystem{})
		}
	}
	// A password where the name belongs, as people do who are fast.
	browser := s.browser(t)
	page := call(t, browser, http.MethodGet, s.Issuer+"/device", nil, accepting("text/html"))
	for _, username := range []string{mary.Password, "correct horse battery of mary"} {
		form := url.Values{"username": {username}, "password": {"correct horse battery of mary"}}
		for _, field := range hidden.FindAllSubmatch(page.body, -1) {
			form.Set(string(field[1]), string(field[2]))
		}
		post(t, browser, s.Issuer+"/login", form)
	}
}
