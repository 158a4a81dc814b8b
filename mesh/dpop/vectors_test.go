package dpop_test

import (
	"testing"
	"time"

	"github.com/realguardio/realguardio/mesh/dpop"
)

// The proofs of RFC 9449, figures 2 and 12, with the token and the thumbprint of sections 6.1 and 7.1.
const (
	tokenEndpointProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19." +
		"eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ." +
		"2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	resourceProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19." +
		"eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9." +
		"2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcToken      = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcThumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func TestTheProofsOfTheRFCAreGood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		at    int64
		proof string
		dpop.Request
	}{
		{"at a token endpoint", 1562262616, tokenEndpointProof, dpop.Request{Method: "POST", URLs: []string{"https://server.example.com/token"}}},
		{"with an access token", 1562262618, resourceProof, dpop.Request{
			Method: "GET", URLs: []string{"https://resource.example.org/protectedresource"}, AccessToken: rfcToken, Thumbprint: rfcThumbprint,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := func() time.Time { return time.Unix(tt.at, 0) }
			c, err := dpop.New(dpop.Config{Replays: dpop.NewMemory(10, now), Now: now})
			if err != nil {
				t.Fatal(err)
			}
			tt.Proofs = []string{tt.proof}
			got, err := c.Check(t.Context(), tt.Request)
			if err != nil || got.Thumbprint != rfcThumbprint || got.IssuedAt.Unix() != tt.at {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
}
