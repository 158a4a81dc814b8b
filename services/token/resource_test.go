package token_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// audience is that of an access token.
func audience(t *testing.T, r reply) []string {
	t.Helper()
	parts := strings.Split(r.str("access_token"), ".")
	if r.status != http.StatusOK || len(parts) != 3 {
		t.Fatalf("no token: %d %s", r.status, r.body)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Audience []string `json:"aud"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatalf("%s", payload)
	}
	return claims.Audience
}

// TestResources is RFC 8707: what the person was asked for bounds what comes of it; the client may ask for less.
func TestResources(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.browser()
		const api, customer, notification, gateway = "urn:realguardio:api", "urn:realguardio:customer", "urn:realguardio:notification", "urn:realguardio:gateway"
		for _, tc := range []struct {
			name             string
			authorized       []string
			asked            []string
			want             []string // nil: invalid_target
			refreshed, lasts []string // asked for at refresh, and what comes of it; nil: invalid_target
		}{
			{"nothing asked for is the API", nil, nil, []string{api}, nil, []string{api}},
			{"the API can be narrowed to a part", nil, []string{customer}, []string{customer}, []string{gateway}, []string{gateway}},
			{"the API by name likewise", []string{api}, []string{customer}, []string{customer}, nil, []string{api}},
			{"what was authorized is kept", []string{customer}, nil, []string{customer}, nil, []string{customer}},
			{"what was authorized can be named", []string{customer}, []string{customer}, []string{customer}, []string{customer}, []string{customer}},
			{"one of two, and the other later", []string{customer, notification}, []string{notification}, []string{notification}, []string{customer}, []string{customer}},
			{"both without asking", []string{customer, notification}, nil, []string{customer, notification}, nil, []string{customer, notification}},
			{"the same twice", []string{customer, customer}, nil, []string{customer}, nil, []string{customer}},
			{"another is refused", []string{customer}, []string{gateway}, nil, nil, nil},
			{"the whole API is more", []string{customer}, []string{api}, nil, nil, nil},
			{"another besides", []string{customer}, []string{customer, gateway}, nil, nil, nil},
			{"another later", []string{customer}, nil, []string{customer}, []string{gateway}, nil},
			{"the whole API later", []string{customer}, nil, []string{customer}, []string{api}, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				request := asks("web", webCallback, "prompt", "login") // so that it waits in a transaction
				for _, r := range tc.authorized {
					request += "&resource=" + url.QueryEscape(r)
				}
				form := redeems(b.code(request), webCallback)
				form["resource"] = tc.asked
				got := s.post("/oauth2/token", "web", webSecret, form)
				if tc.want == nil {
					refused(t, got, 400, "invalid_target")
					delete(form, "resource") // the code was not spent by that
					got = s.post("/oauth2/token", "web", webSecret, form)
					tc.want, tc.lasts = tc.authorized, tc.authorized
				}
				if aud := audience(t, got); !slices.Equal(aud, tc.want) {
					t.Errorf("the code gave %v", aud)
				}
				renewal := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.str("refresh_token")}, "resource": tc.refreshed}
				renewed := s.post("/oauth2/token", "web", webSecret, renewal)
				if tc.lasts == nil {
					refused(t, renewed, 400, "invalid_target")
					delete(renewal, "resource") // nor was the refresh token
					renewed, tc.lasts = s.post("/oauth2/token", "web", webSecret, renewal), tc.authorized
				}
				if aud := audience(t, renewed); !slices.Equal(aud, tc.lasts) {
					t.Errorf("the refresh token gave %v", aud)
				}
			})
		}
	})
}

func TestTheResourceOfAPasswordGrantLasts(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		r := s.post("/oauth2/token", "trusted", trustedSecret, url.Values{"grant_type": {"password"}, "username": {alice},
			"password": {alicePassword}, "resource": {"urn:realguardio:customer", "urn:realguardio:customer"}})
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}}
		renewed := s.post("/oauth2/token", "trusted", trustedSecret, refresh)
		for _, got := range []reply{r, renewed} {
			if aud := audience(t, got); !slices.Equal(aud, []string{"urn:realguardio:customer"}) {
				t.Errorf("%v", aud)
			}
		}
	})
}
