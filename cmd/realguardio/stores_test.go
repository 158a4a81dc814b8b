package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/realguardio/realguardio/services/database"
)

// process is a child that can be stopped and started again, with the same arguments.
type process struct {
	name    string
	command func() *exec.Cmd
	running *exec.Cmd
	output  *lines
}

// newProcess makes a child that ends with the test at the latest.
func newProcess(t *testing.T, name string, command func() *exec.Cmd) *process {
	p := &process{name: name, command: command, output: &lines{}}
	t.Cleanup(func() {
		if p.running != nil {
			_ = p.running.Process.Kill()
			_ = p.running.Wait()
		}
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, p.output)
		}
	})
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.running = p.command()
	p.running.Stdout, p.running.Stderr = p.output, p.output
	if err := p.running.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
}

// stop asks the child to end and demands that it does so well.
func (p *process) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	ended := make(chan error, 1)
	child := p.running
	go func() { ended <- child.Wait() }()
	if err := child.Process.Signal(signal); err != nil {
		t.Fatalf("stop %s: %v", p.name, err)
	}
	p.running = nil
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%s ended with %v\n%s", p.name, err, p.output)
		}
	case <-time.After(patience):
		_ = child.Process.Kill()
		t.Fatalf("%s does not stop\n%s", p.name, p.output)
	}
}

// freeAddress returns a loopback address that nobody listens on now. Its port is below those that the system gives out:
// one of these might be given to somebody else before the child has it, or while it is stopped.
func freeAddress(t *testing.T) string {
	t.Helper()
	for tries := 1; ; tries++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000))))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
		if tries == 20 {
			t.Fatalf("find a free port: %v", err)
		}
	}
}

// reachable waits until somebody listens at an address.
func reachable(t *testing.T, what, network, address string) {
	t.Helper()
	eventually(t, what+" is reachable", func() error {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// program finds a server, where distributions put it. The services have a storetest for that, which is theirs alone.
func program(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		t.Fatalf("%s is not installed: apt-get install postgresql redis-server, or test without separate processes by -short", name)
	}
	return found[len(found)-1]
}

// startRedis starts a Redis that loses nothing when it is stopped.
func startRedis(t *testing.T) (p *process, address string) {
	t.Helper()
	dir, path := t.TempDir(), program(t, "redis-server")
	address = freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	p = newProcess(t, "redis", func() *exec.Cmd {
		return exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	})
	p.start(t)
	reachable(t, "Redis", "tcp", address)
	return p, address
}

// pristine makes a folder that initdb has filled, which takes ten times as long as copying it. TestMain removes it.
var (
	pristine       sync.Once
	pristineFolder = filepath.Join(os.TempDir(), fmt.Sprintf("realguardio-test-%d-postgres", os.Getpid()))
)

// startPostgres starts a PostgreSQL cluster of this test's own.
func startPostgres(t *testing.T) (p *process, url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rgpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := unprivileged(t)
	owned(t, dir, as)
	pristine.Do(func() {
		if err := os.Mkdir(pristineFolder, 0o700); err != nil {
			t.Fatal(err)
		}
		owned(t, pristineFolder, as)
		finish(t, as, program(t, "initdb"), "-D", pristineFolder+"/data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
	})
	finish(t, as, "cp", "-R", pristineFolder+"/data", dir)
	address, path := freeAddress(t), program(t, "postgres")
	_, port, _ := net.SplitHostPort(address)
	p = newProcess(t, "postgres", func() *exec.Cmd {
		c := exec.Command(path, "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=127.0.0.1", "-p", port,
			"-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=200")
		c.Dir, c.SysProcAttr = dir, as
		return c
	})
	p.start(t)
	url = "postgres://postgres@" + address + "/postgres?sslmode=disable"
	answers(t, url)
	return p, url
}

// owned gives a folder to whom servers run as.
func owned(t *testing.T, dir string, as *syscall.SysProcAttr) {
	t.Helper()
	if as.Credential == nil {
		return
	}
	if err := os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
		t.Fatal(err)
	}
}

// finish runs a command to its end.
func finish(t *testing.T, as *syscall.SysProcAttr, command string, args ...string) {
	t.Helper()
	c := exec.Command(command, args...)
	c.Dir, c.SysProcAttr = "/", as
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// answers waits until a database lets somebody in, which is a while after it listens.
func answers(t *testing.T, url string) {
	t.Helper()
	eventually(t, "the database answers", func() error {
		db, err := database.Open(t.Context(), url)
		if err != nil {
			return err
		}
		return db.Close()
	})
}

// unprivileged makes a server run as somebody else when we are root, which PostgreSQL refuses to run as.
func unprivileged(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			t.Fatal(err)
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	t.Fatal("no user postgres or nobody to run PostgreSQL as")
	return nil
}
