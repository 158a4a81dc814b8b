// Package rpc is the token service's gRPC wire: AdminService, for those who manage accounts and clients, and
// AccountService, for people on their own account. Who may call what stands in the proto; what is allowed besides, and
// what comes of it, is decided by packages oauth and account.
package rpc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/oauth"
	"github.com/realguardio/realguardio/services/token/sqlstore"
)

// Config says what the services work with. Everything is required.
type Config struct {
	Store *sqlstore.Store
	OAuth *oauth.Server
	Keys  *keys.Ring
	// Accounts is what becomes of accounts.
	Accounts *account.Lifecycle
	// Registered is told of every client that was registered or changed.
	Registered func(context.Context, *oauth.Client)
	Logger     *slog.Logger
	Now        func() time.Time
}

// Register adds the services to a server.
func Register(r grpc.ServiceRegistrar, cfg Config) {
	tokenv1.RegisterAdminServiceServer(r, &admin{Config: cfg})
	tokenv1.RegisterAccountServiceServer(r, &self{Config: cfg})
}

// admin implements AdminService.
type admin struct {
	tokenv1.UnsafeAdminServiceServer
	Config
}

// self implements AccountService: everything is about the caller, whom the token names.
type self struct {
	tokenv1.UnsafeAccountServiceServer
	Config
}

// leaving turns what an RPC failed with into what its caller may see.
func leaving(err error) error {
	if bad, ok := errors.AsType[*oauth.MetadataError](err); ok {
		return mesh.InvalidField(bad.Field, bad.Description)
	}
	if errors.Is(err, oauth.ErrUnavailable) {
		return mesh.Unavailable("the token database")
	}
	return err
}
