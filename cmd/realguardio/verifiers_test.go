package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/clientcredentials"
	"github.com/realguardio/realguardio/mesh/jwt"
	"github.com/realguardio/realguardio/mesh/revocation"
)

// verifiersEnv makes this test's binary a process with verifiers, and says how.
const verifiersEnv = "REALGUARDIO_TEST_VERIFIERS"

// sampled is how many tokens share one that is also sent to each verifier's server, over TLS.
const sampled = 50

// moment is a time by the clock that all processes of a machine share (CLOCK_MONOTONIC), in nanoseconds.
func moment() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}

// verifiersConfig says what a process with verifiers is.
type verifiersConfig struct {
	Dir, Issuer, Secret string
	// Targets are the token services that the verifiers follow, in turn.
	Targets    []string
	Verifiers  int
	MaxSilence time.Duration
}

// order is what the test asks of such a process; answers come in the order of orders.
type order struct {
	// Watch are tokens to look out for.
	Watch []string
	// Report asks what has become of them, after at most this time if not all of them are refused.
	Report time.Duration
	// Sensitive asks what a sensitive method answers.
	Sensitive bool
}

type report struct {
	Error string
	// Refused is when each verifier's guard began to refuse each token; 0: it has not.
	Refused [][]int64
	// Answered is the same, for one in some tokens, by when a caller had the answer that the token is refused.
	Answered  [][]int64
	Sensitive []codes.Code
	Stats     []revocation.Stats
}

// verifiersProcess is such a process as the test sees it.
type verifiersProcess struct {
	*process
	config verifiersConfig
	in     *json.Encoder
	out    *json.Decoder
}

func startVerifiers(t *testing.T, config verifiersConfig) *verifiersProcess {
	t.Helper()
	encoded, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), verifiersEnv+"="+string(encoded))
	p := &verifiersProcess{config: config, process: newProcess(t, "verifiers", func() *exec.Cmd { return command })}
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = json.NewEncoder(in), json.NewDecoder(out)
	p.running = command
	command.Stderr = p.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask sends an order and waits for the answer.
func (p *verifiersProcess) ask(t *testing.T, o order) report {
	t.Helper()
	if err := p.in.Encode(o); err != nil {
		t.Fatalf("verifiers: %v\n%s", err, p.output)
	}
	var r report
	if err := p.out.Decode(&r); err != nil {
		t.Fatalf("verifiers: %v\n%s", err, p.output)
	}
	if r.Error != "" {
		t.Fatalf("verifiers: %s\n%s", r.Error, p.output)
	}
	return r
}

// serveVerifiers is the main program of such a process, which ends with its standard input.
func serveVerifiers(encoded string) int {
	var config verifiersConfig
	err := json.Unmarshal([]byte(encoded), &config)
	if err == nil {
		err = runVerifiers(config, json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runVerifiers(config verifiersConfig, in *json.Decoder, out *json.Encoder) error {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var all []*verifierNode
	for i := range config.Verifiers {
		v, err := startVerifier(ctx, &tasks, config, config.Targets[i%len(config.Targets)])
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var r report
		for _, v := range all {
			if err := v.obey(ctx, o, &r); err != nil {
				r.Error = err.Error()
				break
			}
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// verifierNode is a part's server with everything that it has in production, and a caller of it.
type verifierNode struct {
	verifier *jwt.Verifier
	set      *revocation.Set
	conn     *grpc.ClientConn

	tokens            []string
	refused, answered []atomic.Int64
	left              sync.WaitGroup
}

func startVerifier(ctx context.Context, tasks *sync.WaitGroup, config verifiersConfig, target string) (*verifierNode, error) {
	const part = "customer"
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	files := mesh.TLSFiles{CA: config.Dir + "/ca.pem", Cert: config.Dir + "/" + part + ".pem", Key: config.Dir + "/" + part + "-key.pem"}
	server, serverErr := files.Server()
	client, clientErr := files.Client()
	own, ownErr := clientcredentials.New(clientcredentials.Config{TokenURL: config.Issuer + "/oauth2/token", ClientID: part, Secret: config.Secret})
	verifier, err := jwt.New(ctx, jwt.Config{Issuer: config.Issuer, Audiences: []string{"urn:realguardio:api"}, Logger: log})
	if err := errors.Join(serverErr, clientErr, ownErr, err); err != nil {
		return nil, err
	}
	v := &verifierNode{verifier: verifier, set: revocation.NewSet(revocation.Config{MaxSilence: config.MaxSilence, Logger: log})}
	toToken, err := mesh.Dial(mesh.DialConfig{Target: target, TLS: client, Propagation: mesh.AsService(own)})
	if err != nil {
		return nil, err
	}
	feed := revocation.NewFeed(toToken, v.set)
	guarded, err := mesh.NewServer(mesh.ServerConfig{
		Name: part, TLS: server, Verifier: verifier, Revocations: v.set, Logger: slog.New(slog.DiscardHandler), DrainTime: time.Second,
	})
	if err != nil {
		return nil, err
	}
	securitysystemv1.RegisterSecuritySystemServiceServer(guarded, securitysystemv1.UnimplementedSecuritySystemServiceServer{})
	tokenv1.RegisterAccountServiceServer(guarded, tokenv1.UnimplementedAccountServiceServer{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	tasks.Go(func() { _ = verifier.Run(ctx) })
	tasks.Go(func() { _ = feed.Run(ctx); _ = toToken.Close() })
	tasks.Go(func() { _ = guarded.Serve(ctx, listener) })
	if v.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(client))); err != nil {
		return nil, err
	}
	select {
	case <-feed.Synced():
		return v, nil
	case <-time.After(patience):
		return nil, errors.New("the revocation feed does not begin")
	}
}

func (v *verifierNode) obey(ctx context.Context, o order, r *report) error {
	if len(o.Watch) > 0 {
		if err := v.watch(ctx, o.Watch); err != nil {
			return err
		}
	}
	if o.Sensitive {
		r.Sensitive = append(r.Sensitive, v.sensitive(ctx))
	}
	if o.Report > 0 {
		over := make(chan struct{})
		go func() { v.left.Wait(); close(over) }()
		select {
		case <-over:
		case <-time.After(o.Report):
		}
		r.Refused = append(r.Refused, values(v.refused))
		r.Answered = append(r.Answered, values(v.answered))
		r.Stats = append(r.Stats, v.set.Stats())
	}
	return nil
}

func values(all []atomic.Int64) []int64 {
	out := make([]int64, len(all))
	for i := range all {
		out[i] = all[i].Load()
	}
	return out
}

// watch takes note of when each token begins to be refused. One in some of them is sent to the server: now, when it must
// be let in, and as soon as it is said to be revoked, when it must not.
func (v *verifierNode) watch(ctx context.Context, tokens []string) error {
	v.tokens, v.refused, v.answered = tokens, make([]atomic.Int64, len(tokens)), make([]atomic.Int64, (len(tokens)+sampled-1)/sampled)
	for i, token := range tokens {
		id := mesh.Identity{TokenID: tokenID(token)}
		if i%sampled == 0 {
			var err error
			if id, err = v.verifier.Verify(ctx, token); err != nil {
				return err
			}
			if got := v.call(ctx, token); got != codes.Unimplemented {
				return fmt.Errorf("a good token is answered with %v", got)
			}
		}
		v.left.Add(1)
		v.set.Notify(id, func() {
			defer v.left.Done()
			v.refused[i].Store(moment())
			if i%sampled == 0 && v.call(ctx, token) == codes.Unauthenticated {
				v.answered[i/sampled].Store(moment())
			}
		})
	}
	return nil
}

// call sends a token to the server.
func (v *verifierNode) call(ctx context.Context, token string) codes.Code {
	_, err := securitysystemv1.NewSecuritySystemServiceClient(v.conn).ListSecuritySystems(withToken(ctx, token), &securitysystemv1.ListSecuritySystemsRequest{})
	return status.Code(err)
}

// sensitive sends the last token to a sensitive method, which is not for its kind of caller.
func (v *verifierNode) sensitive(ctx context.Context) codes.Code {
	_, err := tokenv1.NewAccountServiceClient(v.conn).RevokeMyConsent(withToken(ctx, v.tokens[len(v.tokens)-1]), &tokenv1.RevokeMyConsentRequest{ClientId: "x"})
	return status.Code(err)
}
