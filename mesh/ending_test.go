package mesh_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// TestWhoHoldsAGoodTokenLearnsWhatEndedIt and nobody else: before its signature is verified, every refusal is the same.
func TestWhoHoldsAGoodTokenLearnsWhatEndedIt(t *testing.T) {
	iss := meshtest.NewIssuer(t)
	ended := revocation.NewSet(revocation.Config{})
	if err := ended.Add(
		revocation.Entry{Kind: revocation.Token, Value: "t-ended"},
		revocation.Entry{Kind: revocation.Session, Value: "s-ended"},
		revocation.Entry{Kind: revocation.Grant, Value: "g-ended"},
		revocation.Entry{Kind: revocation.Client, Value: "app-ended"},
		revocation.Entry{Kind: revocation.Subject, Value: "u-ended", BelowEpoch: 2},
	); err != nil {
		t.Fatal(err)
	}
	srv := meshtest.Serve(t, iss, meshtest.Part{Name: "echo", Configure: func(c *mesh.ServerConfig) {
		c.Revocations = ended
	}}, (&echo{unary: whoami}).register)
	conn := srv.Dial(t)
	forged := meshtest.NewIssuer(t).Token(t, meshtest.Claims{Subject: "u-ended", ClientID: "app-ended"})

	for _, tt := range []struct {
		name, token string
		want        codes.Code
		reason      string
	}{
		{"nothing has ended", iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "web", TokenID: "t", SessionID: "s", GrantID: "g"}), codes.OK, ""},
		{"the token has ended", iss.Token(t, meshtest.Claims{Subject: "u-alice", TokenID: "t-ended"}), codes.Unauthenticated, "TOKEN_ENDED"},
		{"its session has ended", iss.Token(t, meshtest.Claims{Subject: "u-alice", SessionID: "s-ended"}), codes.Unauthenticated, "TOKEN_ENDED"},
		{"its grant has ended", iss.Token(t, meshtest.Claims{Subject: "u-alice", GrantID: "g-ended"}), codes.Unauthenticated, "TOKEN_ENDED"},
		{"its client has ended", iss.Token(t, meshtest.Claims{Subject: "u-alice", ClientID: "app-ended"}), codes.Unauthenticated, "CLIENT_ENDED"},
		{"what the person had then has ended", iss.Token(t, meshtest.Claims{Subject: "u-ended", Epoch: 1}), codes.Unauthenticated, "SUBJECT_ENDED"},
		{"the person has signed in anew", iss.Token(t, meshtest.Claims{Subject: "u-ended", Epoch: 2}), codes.OK, ""},
		{"both have ended: the client comes first", iss.Token(t, meshtest.Claims{Subject: "u-ended", ClientID: "app-ended"}), codes.Unauthenticated, "CLIENT_ENDED"},
		{"the token is forged", forged, codes.Unauthenticated, "UNAUTHENTICATED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := say(meshtest.As(t.Context(), tt.token), conn, "Say", "")
			if status.Code(err) != tt.want || mesh.Reason(err) != tt.reason {
				t.Errorf("got %v (%s), want %v (%s)", err, mesh.Reason(err), tt.want, tt.reason)
			}
			if tt.want != codes.OK && status.Convert(err).Message() != "authentication is required" {
				t.Errorf("the text is %q", status.Convert(err).Message())
			}
		})
	}
}
