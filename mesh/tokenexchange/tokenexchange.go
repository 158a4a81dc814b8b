// Package tokenexchange exchanges tokens at any issuer's token endpoint (RFC 8693), as a client that proves itself by its
// secret.
//
// For the token service of the trust domain there is package tokenservice. What is remembered of exchanges is
// mesh.Exchanges'.
package tokenexchange

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/internal/confidential"
	"github.com/realguardio/realguardio/mesh/internal/percertificate"
)

// Names of RFC 8693, sections 2.1 and 3.
const (
	grantType  = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
)

const (
	// maxAnswer is the longest answer read, in bytes; maxToken the longest token taken from it.
	maxAnswer, maxToken = 64 << 10, 8 << 10
	// maxLife is how long a token is believed to live at most.
	maxLife = 24 * time.Hour
	// timeout bounds one exchange.
	timeout = 10 * time.Second
)

// Config says where tokens are exchanged, and who does it.
type Config struct {
	// TokenURL is the issuer's token endpoint. Required. It must be https, because secrets are sent to it; http is taken for a
	// loopback address only.
	TokenURL string
	// ClientID and Secret authenticate this process (client_secret_basic). Required.
	ClientID, Secret string
	// Binds says that the issuer binds the tokens that this client gets to the certificate which it shows (RFC 8705,
	// section 3). The certificate is that of the connection which a token is for, so that HTTPClient needs none; its Transport
	// has to be an *http.Transport. Default: what has to be bound is not exchanged.
	Binds bool
	// HTTPClient makes the requests. Default: one with a timeout of 10 seconds. Redirects are never followed.
	HTTPClient *http.Client
	// Now tells the time. Default: time.Now.
	Now func() time.Time
}

// Exchanger asks an issuer. It is safe for concurrent use.
type Exchanger struct {
	cfg    Config
	client *http.Client
	// showing has a client for each certificate that tokens are bound to.
	showing *percertificate.Set[*http.Client]
}

var _ mesh.Exchanger = (*Exchanger)(nil)

// New makes an exchanger. It makes no request.
func New(cfg Config) (*Exchanger, error) {
	switch {
	case cfg.TokenURL == "":
		return nil, errors.New("tokenexchange: TokenURL is missing")
	case cfg.ClientID == "":
		return nil, errors.New("tokenexchange: ClientID is missing")
	case cfg.Secret == "":
		return nil, fmt.Errorf("tokenexchange: Secret of %s is missing", cfg.ClientID)
	}
	if err := confidential.Check(cfg.TokenURL); err != nil {
		return nil, fmt.Errorf("tokenexchange: TokenURL: %w", err)
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Timeout: timeout}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	client := *cfg.HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	x := &Exchanger{cfg: cfg, client: &client}
	if cfg.Binds {
		transport, ok := cmp.Or[http.RoundTripper](client.Transport, http.DefaultTransport).(*http.Transport)
		if !ok {
			return nil, errors.New("tokenexchange: Binds: the HTTP client has a transport that can be shown no certificate")
		}
		x.showing = percertificate.New(func(certificate *tls.Certificate) (*http.Client, error) {
			return showing(client, transport.Clone(), certificate), nil
		}, (*http.Client).CloseIdleConnections)
	}
	return x, nil
}

// showing is a client that shows a certificate.
func showing(client http.Client, transport *http.Transport, certificate *tls.Certificate) *http.Client {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	client.Transport = transport
	return &client
}

// Close ends the connections that show a certificate.
func (x *Exchanger) Close() error {
	if x.showing != nil {
		x.showing.Close()
	}
	return nil
}

// Exchange implements [mesh.Exchanger]. Every scope that is asked for must be one of the token's: an issuer gives all or
// nothing.
func (x *Exchanger) Exchange(ctx context.Context, req mesh.ExchangeRequest) (mesh.Exchanged, error) {
	client := x.client
	if req.Certificate != nil {
		if !x.cfg.Binds {
			return mesh.Exchanged{}, errors.New("exchange a token: this issuer is not known to bind tokens to certificates")
		}
		showing, release, err := x.showing.Get(req.Certificate)
		if err != nil {
			return mesh.Exchanged{}, fmt.Errorf("exchange a token as %s: %w", x.cfg.ClientID, err)
		}
		defer release()
		client = showing
	}
	asked := x.cfg.Now()
	status, body, err := x.post(ctx, client, form(req))
	if err != nil {
		return mesh.Exchanged{}, fmt.Errorf("exchange a token as %s: %w", x.cfg.ClientID, err)
	}
	if status != http.StatusOK {
		return mesh.Exchanged{}, fmt.Errorf("exchange a token as %s: %w", x.cfg.ClientID, refused(status, body))
	}
	got, err := read(body, asked)
	if err != nil {
		return mesh.Exchanged{}, fmt.Errorf("exchange a token as %s: read the answer: %w", x.cfg.ClientID, err)
	}
	return got, nil
}

// form is the request (section 2.1).
func form(req mesh.ExchangeRequest) url.Values {
	f := url.Values{
		"grant_type": {grantType}, "subject_token": {req.SubjectToken}, "subject_token_type": {typeAccess},
		"requested_token_type": {typeAccess},
	}
	if req.Audience != "" {
		f.Set("audience", req.Audience)
	}
	if len(req.Scopes) > 0 {
		f.Set("scope", strings.Join(req.Scopes, " "))
	}
	return f
}

// post returns the status and the JSON of the answer. Its errors hold nothing of either body.
func (x *Exchanger) post(ctx context.Context, client *http.Client, f url.Values) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.cfg.TokenURL, strings.NewReader(f.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(x.cfg.ClientID), url.QueryEscape(x.cfg.Secret)) // RFC 6749, section 2.3.1
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case len(body) > maxAnswer:
		return 0, nil, errors.New("the answer is too large")
	case resp.StatusCode == http.StatusOK && (err != nil || kind != "application/json"):
		return 0, nil, errors.New("the answer is not JSON")
	}
	return resp.StatusCode, body, nil
}

// refused is what an error answer means (section 2.2.2). Of its body the code alone is told, and that only where it is a word
// of ours: the rest could echo the token.
func refused(status int, body []byte) error {
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &answer)
	if status != http.StatusBadRequest {
		answer.Error = known(answer.Error)
		return fmt.Errorf("the issuer answers %d %s", status, answer.Error)
	}
	switch answer.Error {
	case "invalid_request", "invalid_grant": // the request is well-formed: it is the subject_token
		return fmt.Errorf("%w: the issuer answers %s", mesh.ErrSubjectToken, answer.Error)
	case "invalid_scope":
		return fmt.Errorf("%w: the issuer answers %s", mesh.ErrNoScope, answer.Error)
	}
	return fmt.Errorf("the issuer answers %d %s", status, known(answer.Error))
}

// known returns code where it is one of RFC 6749 and RFC 8693.
func known(code string) string {
	switch code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_target", "access_denied", "temporarily_unavailable", "server_error":
		return code
	}
	return "with an unknown error"
}

// read takes the token out of a good answer (section 2.2.1): a bearer token, an access token, and one that says how long it
// lives.
func read(body []byte, asked time.Time) (mesh.Exchanged, error) {
	var answer struct {
		Token     string  `json:"access_token"`
		Issued    string  `json:"issued_token_type"`
		Type      string  `json:"token_type"`
		ExpiresIn float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return mesh.Exchanged{}, errors.New("it is not the JSON of a token")
	}
	switch {
	case answer.Token == "" || len(answer.Token) > maxToken || strings.ContainsFunc(answer.Token, unprintable):
		return mesh.Exchanged{}, errors.New("access_token is none")
	case answer.Issued != typeAccess && answer.Issued != typeJWT:
		return mesh.Exchanged{}, errors.New("issued_token_type is not that of an access token")
	case !strings.EqualFold(answer.Type, "bearer"):
		return mesh.Exchanged{}, errors.New("token_type is not Bearer")
	case answer.ExpiresIn < 1:
		return mesh.Exchanged{}, errors.New("expires_in is missing")
	}
	life := time.Duration(min(answer.ExpiresIn, maxLife.Seconds()) * float64(time.Second))
	return mesh.Exchanged{Token: answer.Token, Expiry: asked.Add(life)}, nil
}

// unprintable characters cannot stand in a header.
func unprintable(c rune) bool { return c <= ' ' || c > '~' }
