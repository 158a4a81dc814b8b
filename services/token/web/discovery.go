package web

import (
	"net/http"
	"slices"

	"github.com/realguardio/realguardio/mesh/dpop"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// metadata is the discovery document (OpenID Connect Discovery, section 3; RFC 8414).
type metadata struct {
	Issuer                string               `json:"issuer"`
	AuthorizationEndpoint string               `json:"authorization_endpoint"`
	TokenEndpoint         string               `json:"token_endpoint"`
	PushEndpoint          string               `json:"pushed_authorization_request_endpoint"`
	PushRequired          bool                 `json:"require_pushed_authorization_requests"`
	RevocationEndpoint    string               `json:"revocation_endpoint"`
	DeviceEndpoint        string               `json:"device_authorization_endpoint"`
	IntrospectionEndpoint string               `json:"introspection_endpoint"`
	UserInfoEndpoint      string               `json:"userinfo_endpoint"`
	EndSessionEndpoint    string               `json:"end_session_endpoint"`
	JWKSURI               string               `json:"jwks_uri"`
	AccountURI            string               `json:"account_management_uri"`
	ResponseTypes         []oauth.ResponseType `json:"response_types_supported"`
	ResponseModes         []oauth.ResponseMode `json:"response_modes_supported"`
	GrantTypes            []string             `json:"grant_types_supported"`
	SubjectTypes          []string             `json:"subject_types_supported"`
	IDTokenAlgs           []keys.Alg           `json:"id_token_signing_alg_values_supported"`
	Scopes                []string             `json:"scopes_supported"`
	Claims                []string             `json:"claims_supported"`
	ClaimTypes            []string             `json:"claim_types_supported"`
	Displays              []string             `json:"display_values_supported"`
	Locales               []string             `json:"ui_locales_supported"`
	Prompts               []string             `json:"prompt_values_supported"`
	ACRs                  []string             `json:"acr_values_supported"`
	ChallengeMethods      []string             `json:"code_challenge_methods_supported"`
	TokenAuth             []oauth.AuthMethod   `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth        []oauth.AuthMethod   `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth     []oauth.AuthMethod   `json:"introspection_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string             `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthAlgs    []string             `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthAlgs []string             `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	BackchannelLogout     bool                 `json:"backchannel_logout_supported"`
	BackchannelSession    bool                 `json:"backchannel_logout_session_supported"`
	DPoPAlgs              []string             `json:"dpop_signing_alg_values_supported"`
	CertificateBound      bool                 `json:"tls_client_certificate_bound_access_tokens"`
	Aliases               map[string]string    `json:"mtls_endpoint_aliases,omitempty"`
	IssInResponse         bool                 `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter       bool                 `json:"claims_parameter_supported"`
	RequestParameter      bool                 `json:"request_parameter_supported"`
	RequestURIParameter   bool                 `json:"request_uri_parameter_supported"`
}

// discovery answers from memory: whoever verifies tokens must be able to start while our database is down.
func (h *handler) discovery(w http.ResponseWriter, _ *http.Request) {
	grants := []string{oauth.GrantAuthorizationCode, oauth.GrantClientCredentials, oauth.GrantRefreshToken, oauth.GrantDeviceCode,
		oauth.GrantTokenExchange}
	responses := []oauth.ResponseType{oauth.ResponseCode}
	if h.GrantInUse(oauth.GrantPassword) {
		grants = append(grants, oauth.GrantPassword)
	}
	if h.GrantInUse(oauth.GrantImplicit) {
		grants = append(grants, oauth.GrantImplicit)
		responses = append(responses, oauth.ImplicitResponseTypes...)
	}
	var scopes []string
	for _, s := range oauth.Scopes {
		scopes = append(scopes, s.Name)
	}
	methods := h.authMethods()
	public(w)
	answer(w, http.StatusOK, metadata{
		Issuer:                h.issuer,
		AuthorizationEndpoint: h.issuer + "/oauth2/authorize",
		TokenEndpoint:         h.issuer + "/oauth2/token",
		PushEndpoint:          h.issuer + "/oauth2/par",
		RevocationEndpoint:    h.issuer + "/oauth2/revoke",
		DeviceEndpoint:        h.issuer + "/oauth2/device_authorization",
		IntrospectionEndpoint: h.issuer + "/oauth2/introspect",
		UserInfoEndpoint:      h.issuer + "/oauth2/userinfo",
		EndSessionEndpoint:    h.issuer + "/oauth2/logout",
		JWKSURI:               h.issuer + "/oauth2/jwks",
		AccountURI:            h.issuer + atAccount,
		ResponseTypes:         responses,
		ResponseModes:         oauth.ResponseModes,
		GrantTypes:            grants,
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           keys.Algs,
		Scopes:                scopes,
		Claims:                slices.Concat(oauth.TokenClaims, oauth.ClaimNames()),
		ClaimTypes:            []string{"normal"},
		Displays:              []string{"page"},
		Locales:               []string{"en"},
		Prompts:               []string{"none", "login", "consent", "select_account"},
		ACRs:                  []string{"1"},
		ChallengeMethods:      []string{"S256"},
		TokenAuth:             methods,
		RevocationAuth:        methods,
		IntrospectionAuth:     slices.DeleteFunc(slices.Clone(methods), func(m oauth.AuthMethod) bool { return m == oauth.AuthNone }),
		TokenAuthAlgs:         oauth.AssertionAlgs,
		RevocationAuthAlgs:    oauth.AssertionAlgs,
		IntrospectionAuthAlgs: oauth.AssertionAlgs,
		BackchannelLogout:     true,
		BackchannelSession:    true,
		DPoPAlgs:              dpop.Algorithms(),
		CertificateBound:      h.MutualTLS.offered(),
		Aliases:               h.aliases(),
		IssInResponse:         true,
		ClaimsParameter:       true,
	})
}

// jwks answers from memory too.
func (h *handler) jwks(w http.ResponseWriter, _ *http.Request) {
	public(w)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(h.JWKS()) // a client that went away is not our problem
}

// public lets caches keep and scripts of any site read what is the same for everybody.
func public(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.Header().Set("Access-Control-Allow-Origin", "*")
}
