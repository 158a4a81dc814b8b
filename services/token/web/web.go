// Package web is the token service's HTTP wire: the OAuth and OpenID Connect endpoints, and the pages on which people sign
// in and see to their accounts. It reads requests, keeps browsers' cookies, and writes answers; what is allowed is decided
// by packages oauth and account.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/mesh/loopback"
	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/pages"
)

const (
	// maxBody bounds a request's body; the largest honest one is a form of a few kilobytes.
	maxBody = 64 << 10
	// requestTimeout bounds what a request may wait for a store, and with it how many can wait at once for one that hangs.
	requestTimeout = 5 * time.Second
	// sessionLifetime is how long a browser stays signed in at the identity provider.
	sessionLifetime = 12 * time.Hour
	// transactionLifetime is how long somebody may take to sign in.
	transactionLifetime = 15 * time.Minute
	// deviceLifetime is how long a browser is known to have signed in to an account, from the last time it did.
	deviceLifetime = 365 * 24 * time.Hour
	// revisitLifetime is how long a browser may take from the login page back to the authorization endpoint.
	revisitLifetime = time.Minute
	// transactionsPerAddress bounds how many unfinished ones, of a kilobyte or two each, an address can have us keep.
	transactionsPerAddress = 5000
)

// Sessions keeps login sessions. account.ErrNotFound for what is not there.
type Sessions interface {
	OpenSession(ctx context.Context, s account.Session, cookieHash string) error
	RenewSession(ctx context.Context, s account.Session, cookieHash string) error
	SessionByCookie(ctx context.Context, cookieHash string) (account.Session, error)
	User(ctx context.Context, id string) (account.User, error)
}

// Clients finds clients. oauth.ErrNotFound for one that is not there; a disabled one is found.
type Clients interface {
	Client(ctx context.Context, id string) (oauth.Client, error)
}

// Passwords checks a person's password and knows browsers that they have used; *account.Authenticator is one.
type Passwords interface {
	oauth.Passwords
	Device(user account.User, before string) string
}

// Transactions keeps what browsers are in the middle of. oauth.ErrNotFound for what is not there.
type Transactions interface {
	PutTransaction(ctx context.Context, id string, data []byte, lifetime time.Duration) error
	Transaction(ctx context.Context, id string) ([]byte, error)
	TakeTransaction(ctx context.Context, id string) ([]byte, error)
}

// Counters is told what was answered. Its arguments have few values, none of which came from outside.
type Counters interface {
	// Issued counts a token response, by grant type.
	Issued(grant string)
	// Refused counts an error response of the token endpoint, by grant type ("other" for one that there is not) and code.
	Refused(grant, code string)
	// Login counts what came of a login page.
	Login(outcome LoginOutcome)
}

// Config says what a Handler works with. Everything is required unless it has a default.
type Config struct {
	OAuth        *oauth.Server
	Passwords    Passwords
	Sessions     Sessions
	Transactions Transactions
	Recovery     Recovery
	// Mail tells whether there is a mail server, by which links can be sent.
	Mail bool
	// Home is the client id of the application that people use, if it is known: where pages lead that nothing else does.
	Home string
	// Attempts bounds how many transactions are begun.
	Attempts account.Attempts
	// Upstreams are the other providers that people may sign in at, Federation knows which accounts go with them.
	Upstreams  Upstreams
	Federation Federation
	// Own and OwnPassword are what people see and change of their own account.
	Own         OwnAccess
	OwnPassword OwnPassword
	Clients     Clients
	// Record adds an entry to the audit log.
	Record   func(context.Context, audit.Entry) error
	Counters Counters
	// MutualTLS is how clients show certificates. Default: they cannot.
	MutualTLS MutualTLS
	// JWKS returns the published keys.
	JWKS func() []byte
	// GrantInUse tells whether some client may use a deprecated grant: discovery is silent about it otherwise.
	GrantInUse func(grant string) bool
	// Origin tells whether scripts from an origin may use the endpoints that are for browser clients too.
	Origin func(ctx context.Context, origin string) bool
	// Address is where a request comes from. Default: the peer's address.
	Address func(*http.Request) string
	// Tracer makes spans of requests. Default: none.
	Tracer *tracing.Tracer
	Logger *slog.Logger
	Now    func() time.Time
}

// handler serves all endpoints.
type handler struct {
	Config
	pages  *pages.Renderer
	assets map[string]pages.Asset
	// providers are the other ways in that the login page offers.
	providers  []pages.Provider
	issuer     string
	cookies    cookieNames
	sameOrigin *http.CrossOriginProtection
	// keepHTTPS is whether browsers are told to ask this host by https alone. That holds for all its ports, and so never
	// for this machine's own names: they are other developments' too.
	keepHTTPS bool
}

// Handlers are what there is to serve.
type Handlers struct {
	// Issuer is everything under the issuer's URL.
	Issuer http.Handler
	// MutualTLS is what is at [MutualTLS.Origin], for connections on which the client is asked for a certificate.
	MutualTLS http.Handler
}

// New returns the handlers.
func New(cfg Config) (_ Handlers, err error) {
	renderer, err := pages.New()
	if err != nil {
		return Handlers{}, err
	}
	assets, err := pages.Assets()
	if err != nil {
		return Handlers{}, err
	}
	issuer, err := url.Parse(cfg.OAuth.Issuer)
	if err != nil {
		return Handlers{}, fmt.Errorf("parsing the issuer: %w", err)
	}
	if cfg.Address == nil {
		cfg.Address = peer
	}
	h := &handler{Config: cfg, pages: renderer, assets: assets, issuer: cfg.OAuth.Issuer,
		cookies: namesFor(issuer.Scheme == "https"), sameOrigin: http.NewCrossOriginProtection(),
		keepHTTPS: issuer.Scheme == "https" && !loopback.Host(issuer.Hostname())}
	for _, p := range cfg.Upstreams.Providers() {
		h.providers = append(h.providers, pages.Provider{ID: p.ID, Name: p.Name})
	}
	// Behind a proxy that rewrites Host the browser still names the issuer.
	if err := h.sameOrigin.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return Handlers{}, fmt.Errorf("trusting the issuer's own origin: %w", err)
	}
	all := h.guarded(h.routes())
	return Handlers{Issuer: all, MutualTLS: h.forPrograms(all)}, nil
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	// For programs.
	mux.HandleFunc("GET /.well-known/openid-configuration", h.discovery)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", h.discovery)
	mux.HandleFunc("GET /oauth2/jwks", h.jwks)
	mux.HandleFunc("POST /oauth2/token", h.token)
	mux.HandleFunc("POST /oauth2/par", h.push)
	mux.HandleFunc("POST /oauth2/revoke", h.revoke)
	mux.HandleFunc("POST /oauth2/introspect", h.introspect)
	mux.HandleFunc("POST /oauth2/device_authorization", h.authorizeDevice)
	mux.HandleFunc("GET /oauth2/userinfo", h.userinfo)
	mux.HandleFunc("POST /oauth2/userinfo", h.userinfo)
	// For browsers, from anywhere.
	mux.HandleFunc("GET /oauth2/authorize", h.authorize)
	mux.HandleFunc("POST /oauth2/authorize", h.authorize)
	mux.HandleFunc("GET /oauth2/logout", h.logout)
	mux.HandleFunc("POST /oauth2/logout", h.logout)
	// For browsers, from our own pages.
	mux.HandleFunc("GET /login", h.loginPage)
	mux.HandleFunc("POST /login", h.own(h.login))
	mux.HandleFunc("POST /login/{provider}", h.own(h.leave))
	mux.HandleFunc("GET /login/{provider}/callback", h.callback)
	mux.HandleFunc("POST /link", h.own(h.link))
	mux.HandleFunc("GET /forgot", h.forgotPage)
	mux.HandleFunc("POST /forgot", h.own(h.forgot))
	mux.HandleFunc("GET "+account.PasswordPath, h.passwordPage)
	mux.HandleFunc("POST "+account.PasswordPath, h.own(h.choosePassword))
	mux.HandleFunc("GET "+account.VerifyPath, h.verifyPage)
	mux.HandleFunc("POST "+account.VerifyPath, h.own(h.verify))
	mux.HandleFunc("GET "+atAccount, h.accountPage)
	mux.HandleFunc("GET "+atAccount+"/password", h.changePasswordPage)
	mux.HandleFunc("POST "+atAccount+"/password", h.ownForm(h.changePassword))
	mux.HandleFunc("POST "+atAccount+"/sessions/end", h.ownForm(h.recently(h.endSession)))
	mux.HandleFunc("POST "+atAccount+"/sign-out", h.ownForm(h.recently(h.signOutEverywhere)))
	mux.HandleFunc("POST "+atAccount+"/applications/remove", h.ownForm(h.recently(h.removeAccess)))
	mux.HandleFunc("POST "+atAccount+"/providers/remove", h.ownForm(h.recently(h.removeProvider)))
	mux.HandleFunc("GET /consent", h.consentPage)
	mux.HandleFunc("POST /consent", h.own(h.consent))
	mux.HandleFunc("GET /device", h.devicePage)
	mux.HandleFunc("POST /device", h.own(h.findDevice))
	mux.HandleFunc("POST /device/answer", h.own(h.answerDevice))
	mux.HandleFunc("POST /oauth2/logout/confirm", h.own(h.confirmLogout))
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) { h.asset(w, r, r.PathValue("name")) })
	// Where a browser looks that was shown no page.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { h.asset(w, r, "mark.svg") })
	mux.HandleFunc("GET /{$}", h.home)
	return h.crossOrigin(h.elseNotFound(mux))
}

func (h *handler) home(w http.ResponseWriter, r *http.Request) {
	h.message(w, r, http.StatusOK, pages.Message{Title: "Sign-in service", Way: pages.Link{URL: atAccount, Application: "your account"},
		Text: "This is where RealGuardIO applications let you sign in. Open the application that you want to use."})
}

func (h *handler) asset(w http.ResponseWriter, r *http.Request, name string) {
	asset, ok := h.assets[name]
	if !ok {
		h.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", asset.Type)
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("ETag", asset.ETag)
	if r.Header.Get("If-None-Match") == asset.ETag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(asset.Content) // a client that went away is not our problem
}

func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return strings.Trim(host, "[]")
}
