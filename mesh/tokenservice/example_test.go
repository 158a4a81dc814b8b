package tokenservice_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/tokenservice"
)

// tokenService stands for a connection to the token service, by mesh.Dial with mesh.AsService.
type tokenService struct{ grpc.ClientConnInterface }

func (tokenService) Invoke(_ context.Context, _ string, in, out any, _ ...grpc.CallOption) error {
	asked, answer := in.(*tokenv1.ExchangeRequest), out.(*tokenv1.ExchangeResponse)
	fmt.Println("asked for", asked.GetAudience(), asked.GetScopes(), "bound:", asked.GetBindToCertificate())
	answer.AccessToken, answer.ExpireTime = "narrow", timestamppb.New(time.Unix(1_800_000_000, 0))
	return nil
}

// A part gets, for the token of its caller, one that is for another part alone.
func Example() {
	exchanger := tokenservice.New(tokenservice.Config{Conn: tokenService{}})

	// A connection does this by itself: mesh.Dial with mesh.Exchange and exchanges of this exchanger.
	got, err := exchanger.Exchange(context.Background(), mesh.ExchangeRequest{
		SubjectToken: "wide", Audience: "urn:realguardio:customer", Scopes: []string{"customer.read"},
	})
	fmt.Println(got.Token, got.Expiry.UTC(), err)
	// Output:
	// asked for urn:realguardio:customer [customer.read] bound: false
	// narrow 2027-01-15 08:00:00 +0000 UTC <nil>
}
