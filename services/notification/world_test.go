package notification

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/meshtest"
	"github.com/realguardio/realguardio/services/internal/mail"
	"github.com/realguardio/realguardio/services/internal/mail/mailtest"
	"github.com/realguardio/realguardio/services/internal/outbox"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

var databases = storetest.Migrated(Migrate)

// world is the service between a stream that it reads, a customer service that it asks and a mail server.
type world struct {
	*testing.T
	iss      *meshtest.Issuer
	db       *sqldb.DB
	stream   *redis.Client
	people   *people
	office   *mailtest.Office
	customer *meshtest.Server
	position outbox.Position
	later    atomic.Int64
}

// mailBy is the configuration for a mail server of a test.
func mailBy(addr string) MailConfig {
	return MailConfig{Addr: addr, From: "RealGuardIO <alarms@realguardio.example>", TLS: mail.NoTLS}
}

func newWorld(t *testing.T, db *sqldb.DB, redisAddr string) *world {
	t.Helper()
	w := &world{T: t, iss: meshtest.NewIssuer(t), db: db, people: &people{}, position: outbox.Position{Epoch: 1}}
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w.stream = redis.NewClient(&redis.Options{Addr: redisAddr})
	t.Cleanup(func() { _ = w.stream.Close() })
	w.customer = meshtest.Serve(t, w.iss, meshtest.Part{Name: "customer"}, func(r grpc.ServiceRegistrar) {
		customerv1.RegisterCustomerServiceServer(r, w.people)
	})
	w.office = mailtest.New(t)
	return w
}

// eachWorld runs a test on each database with each kind of stream.
func eachWorld(t *testing.T, test func(w *world)) {
	storetest.EachRedis(t, func(t *testing.T, addr string) {
		databases.Each(t, func(t *testing.T, open func() *sqldb.DB) {
			w := newWorld(t, open(), addr)
			if err := w.stream.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			test(w)
		})
	})
}

func (w *world) service(change ...func(*Config)) *Service {
	w.Helper()
	cfg := Config{
		DB: w.db, Redis: w.stream, Logger: meshtest.Logger(w.T), Mail: mailBy(w.office.Addr), Poll: 10 * time.Millisecond,
		Retry: Retry{Attempts: 4, First: 5 * time.Millisecond, Longest: 20 * time.Millisecond},
		Customers: customerv1.NewCustomerServiceClient(
			w.customer.Connect(w.T, "notification", mesh.AsService(w.iss.Source(w.T, "notification")))),
		Now: func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) },
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// run runs services until the returned function is called.
func (w *world) run(services ...*Service) (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	for _, s := range services {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				w.Error(err)
			}
		})
	}
	stop = func() { cancel(); running.Wait() }
	w.Cleanup(stop)
	return stop
}

// publish puts an event into the stream, as the security system service's relay does.
func (w *world) publish(id string, kind securitysystemv1.EventType, actor string, change ...func(*outbox.Envelope)) {
	w.Helper()
	data, err := protojson.Marshal(&securitysystemv1.SecuritySystemChanged{
		Event: &securitysystemv1.Event{
			Id: id, Type: kind, SecuritySystemId: "sys_1", Mode: securitysystemv1.Mode_AWAY,
			Alarm: securitysystemv1.AlarmKind_INTRUSION, Actor: &securitysystemv1.Actor{Id: actor, Name: strings.ToUpper(actor)},
		},
		CustomerId: "acme", LocationId: "oakland", LocationName: "Oakland",
	})
	if err != nil {
		w.Fatal(err)
	}
	e := outbox.Envelope{
		SpecVersion: "1.0", ID: id, Source: "urn:realguardio:securitysystem", Subject: "sys_1", Time: time.Now(), Data: data,
		Type: "realguardio.securitysystem.v1.SecuritySystemChanged." + strings.ToLower(kind.String()),
	}
	for _, f := range change {
		f(&e)
	}
	text, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	w.add(string(text))
}

func (w *world) add(text string) {
	w.Helper()
	w.position.Sequence++
	err := w.stream.XAdd(w.Context(), &redis.XAddArgs{
		Stream: outbox.Stream("securitysystem"), ID: w.position.String(), Values: []any{"event", text},
	}).Err()
	if err != nil {
		w.Fatal(err)
	}
}

const (
	alarm    = securitysystemv1.EventType_ALARM_RAISED
	armed    = securitysystemv1.EventType_SYSTEM_ARMED
	disarmed = securitysystemv1.EventType_SYSTEM_DISARMED
)

// got is what the mail server took, as "recipient: subject", sorted.
func (w *world) got() []string {
	var list []string
	for _, l := range w.office.Taken() {
		list = append(list, l.To+": "+l.Subject())
	}
	slices.Sort(list)
	return list
}

// states counts deliveries by their state.
func (w *world) states() map[State]int {
	w.Helper()
	rows, err := w.db.Query(w.Context(), `SELECT state, count(*) FROM delivery GROUP BY state`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	counts := map[State]int{}
	for rows.Next() {
		var (
			s State
			n int
		)
		if err := rows.Scan(&s, &n); err != nil {
			w.Fatal(err)
		}
		counts[s] = n
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return counts
}

// settled waits until everything that was published has been taken and worked off.
func (w *world) settled() {
	w.Helper()
	meshtest.Await(w, "everything is worked off", func() bool {
		store := sqlStore{w.db}
		at, err := store.Position(w.Context(), outbox.Stream("securitysystem"))
		var open int
		openErr := w.db.QueryRow(w.Context(), `SELECT (SELECT count(*) FROM notice WHERE NOT settled)
			+ (SELECT count(*) FROM delivery WHERE state = 'PENDING')`).Scan(&open)
		return err == nil && openErr == nil && at == w.position && open == 0
	})
}

// people is a customer service that knows who holds a role at Oakland.
type people struct {
	customerv1.UnimplementedCustomerServiceServer
	mu      sync.Mutex
	down    bool
	gone    bool
	asked   int
	callers []mesh.Identity
	traces  []string
}

func (p *people) ListRecipients(ctx context.Context, req *customerv1.ListRecipientsRequest) (
	*customerv1.ListRecipientsResponse, error,
) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	p.callers = append(p.callers, mesh.Caller(ctx))
	p.traces = append(p.traces, mesh.TraceID(ctx))
	switch {
	case p.down:
		return nil, mesh.Unavailable("the database")
	case p.gone || req.GetLocationId() != "oakland":
		return nil, mesh.NotFound("location", req.GetLocationId())
	}
	return &customerv1.ListRecipientsResponse{Recipients: []*customerv1.Recipient{
		{UserId: "alice", Name: "Alice", Email: "alice@acme.example"},
		{UserId: "mary", Name: "Mary", Email: "mary@acme.example"},
		{UserId: "silent", Name: "No Address"},
	}}, nil
}

func (p *people) set(f func(*people)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}
