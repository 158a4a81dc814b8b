package demo

import (
	"github.com/realguardio/realguardio/cmd/realguardio/internal/assembly"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
)

// Application is a client of the demo.
type Application struct {
	readyfile.Client
	Name               string
	Public, FirstParty bool
	// OpaqueTokens says that its access tokens have to be introspected.
	OpaqueTokens bool
}

// Applications returns the demo's clients, without secrets; the gateway's own, [assembly.WebClient], is not among them.
func Applications() []Application {
	return []Application{
		{
			Name: "Partner Insights",
			Client: readyfile.Client{
				ID: "demo-partner", GrantTypes: []string{"authorization_code", "refresh_token"},
				RedirectURIs:           []string{"http://localhost:3000/callback", "http://127.0.0.1:3000/callback"},
				PostLogoutRedirectURIs: []string{"http://localhost:3000/"},
				Scopes:                 []string{"openid", "profile", "email", "offline_access", "customer.read", "securitysystem.read"},
			},
		},
		{
			Name: "RealGuardIO for phones", Public: true, FirstParty: true,
			Client: readyfile.Client{
				ID: "demo-mobile", GrantTypes: []string{"authorization_code", "refresh_token"},
				// A loopback address matches with any port, the scheme is the app's own (RFC 8252, sections 7.1 and 7.3).
				RedirectURIs:           []string{"http://127.0.0.1/callback", "http://[::1]/callback", "example.realguardio.mobile:/callback"},
				PostLogoutRedirectURIs: []string{"example.realguardio.mobile:/signed-out"},
				Scopes: []string{
					"openid", "profile", "email", "offline_access", "customer.read", "securitysystem.read", "securitysystem.arm",
					"securitysystem.disarm", "notification.read", "account.read",
				},
			},
		},
		{
			Name: "Nightly report",
			Client: readyfile.Client{
				ID: "demo-service", GrantTypes: []string{"client_credentials"},
				RedirectURIs: []string{}, PostLogoutRedirectURIs: []string{},
				Scopes: []string{"customer.read", "securitysystem.read"},
			},
		},
		{
			Name: "Opaque Reports", OpaqueTokens: true,
			Client: readyfile.Client{
				ID: "demo-opaque", GrantTypes: []string{"client_credentials", "authorization_code", "refresh_token"},
				RedirectURIs:           []string{"http://localhost:3001/callback", "http://127.0.0.1:3001/callback"},
				PostLogoutRedirectURIs: []string{"http://localhost:3001/"},
				Scopes:                 []string{"openid", "profile", "email", "offline_access", "customer.read", "securitysystem.read"},
			},
		},
		{
			Name: "Trusted legacy application", FirstParty: true,
			Client: readyfile.Client{
				ID: TrustedClient, GrantTypes: []string{"password", "refresh_token"},
				RedirectURIs: []string{}, PostLogoutRedirectURIs: []string{},
				Scopes: assembly.WebScopes,
			},
		},
	}
}
