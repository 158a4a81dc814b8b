// Package rpc is the token service's gRPC wire: AdminService, for those who manage accounts and clients, AccountService,
// for people on their own account, and TokenService, for the parts of the mesh. Who may call what stands in the proto; what is allowed besides, and
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
	"github.com/realguardio/realguardio/services/internal/audit"
	"github.com/realguardio/realguardio/services/token/account"
	"github.com/realguardio/realguardio/services/token/keys"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// Clients keeps clients. oauth.ErrNotFound for one that is not there; a disabled one is found.
type Clients interface {
	Client(ctx context.Context, id string) (oauth.Client, error)
	// Clients lists at most limit clients of a kind, by id, after one.
	Clients(ctx context.Context, kind oauth.ClientKind, after string, limit int) ([]oauth.Client, error)
	// OwnedClients lists the clients of a kind that belong to an owner, the newest first.
	OwnedClients(ctx context.Context, kind oauth.ClientKind, owner string) ([]oauth.Client, error)
	AddClient(ctx context.Context, c oauth.Client) error
	// ChangeClient stores what change makes of a client of a kind, together with an entry about it, and returns the client
	// as it is then. change may be called several times; where it fails nothing has changed, and its error is returned.
	ChangeClient(ctx context.Context, kind oauth.ClientKind, id string, e audit.Entry, change func(*oauth.Client) error) (oauth.Client, error)
}

// People finds accounts and changes what is known of their people. account.ErrNotFound for one that is not there.
type People interface {
	User(ctx context.Context, id string) (account.User, error)
	// SetProfile stores the name and the profile that change gives an account, and returns it as it is then. change may be
	// called several times.
	SetProfile(ctx context.Context, id string, change func(*account.User), now time.Time) (account.User, error)
}

// Access tells who has access to what is somebody's.
type Access interface {
	// UserSessions lists at most limit live login sessions of a person, the newest first.
	UserSessions(ctx context.Context, user string, now time.Time, limit int) ([]account.Session, error)
	// SessionClients lists the clients that hold something of each live login session of a person, by session.
	SessionClients(ctx context.Context, user string) (map[string][]string, error)
	// Consents lists what a person has allowed, by application.
	Consents(ctx context.Context, user string) ([]oauth.Given, error)
}

// Config says what the services work with. Everything is required.
type Config struct {
	OAuth *oauth.Server
	Keys  *keys.Ring
	// Accounts is what becomes of accounts.
	Accounts *account.Lifecycle
	Clients  Clients
	People   People
	Access   Access
	// Registered is told of every client that was registered or changed.
	Registered func(context.Context, *oauth.Client)
	Logger     *slog.Logger
	Now        func() time.Time
}

// Register adds the services to a server.
func Register(r grpc.ServiceRegistrar, cfg Config) {
	tokenv1.RegisterAdminServiceServer(r, &admin{Config: cfg})
	tokenv1.RegisterAccountServiceServer(r, &self{Config: cfg})
	tokenv1.RegisterTokenServiceServer(r, &exchanger{Config: cfg})
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
