package oauth

import "slices"

// AudienceAPI is the audience of everything in this trust domain.
const AudienceAPI = "urn:realguardio:api"

// audienceToken is this service's own.
const audienceToken = "urn:realguardio:token"

// audiences are what a token can be narrowed to (RFC 8707).
var audiences = []string{
	AudienceAPI, audienceToken, "urn:realguardio:customer", "urn:realguardio:securitysystem",
	"urn:realguardio:notification", "urn:realguardio:gateway",
}

// onward is whom each part of the mesh calls on behalf of others, besides whom a token is for: the way that tokens take. A
// part that is not in it calls on by its own token alone.
var onward = map[string][]string{
	"gateway":        {audienceToken, "urn:realguardio:customer", "urn:realguardio:securitysystem", "urn:realguardio:notification"},
	"securitysystem": {"urn:realguardio:customer"},
}

// targets reads the values of "resource", without repetitions; nil if there is none.
func targets(resources []string) ([]string, error) {
	var out []string
	for _, r := range resources {
		if !slices.Contains(audiences, r) {
			return nil, refuse(CodeInvalidTarget, "the resource is not known here")
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// narrowed is the audience of a token for the resources asked for: at most what the grant reaches, and all of that if none
// is asked for (RFC 8707, section 2.2). A nil grant is a client's own, which reaches everything.
func (g *Grant) narrowed(asked []string) ([]string, error) {
	reach := audiences[:1]
	if g != nil && len(g.Audience) > 0 {
		reach = g.Audience
	}
	if len(asked) == 0 {
		return reach, nil
	}
	// Everything is part of the API.
	if !slices.Contains(reach, AudienceAPI) && !covers(reach, asked) {
		return nil, refuse(CodeInvalidTarget, "the grant does not reach this resource")
	}
	return asked, nil
}
