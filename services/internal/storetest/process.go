package storetest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// process is a server that ends with this process: a shell stands between the two, which waits for the end of a pipe
// that only we hold, then ends the server and removes its folder. That works for a crash and a kill as well.
type process struct {
	dir  string
	pipe io.Closer
	done chan struct{}
}

// watch runs "$@" until standard input ends.
const watch = `cd "$DIR" || exit 1
"$@" >"$DIR/log" 2>&1 &
server=$!
read -r _
kill -"$STOP" "$server" 2>/dev/null
wait "$server"
cd / && rm -rf "$DIR"`

// start runs a server that has its files in dir, and ends it by the signal stop.
func start(dir, stop string, command ...string) (*process, error) {
	p := &process{dir: dir, done: make(chan struct{})}
	shell := exec.Command("/bin/sh", append([]string{"-c", watch, "watch"}, command...)...)
	shell.Env = append(os.Environ(), "DIR="+dir, "STOP="+stop)
	attributes, err := unprivileged()
	if err != nil {
		return nil, err
	}
	// A Ctrl-C in the terminal is for us; the shell has to live on to clean up.
	attributes.Setpgid = true
	shell.SysProcAttr = attributes
	if p.pipe, err = shell.StdinPipe(); err != nil {
		return nil, err
	}
	if err := shell.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	go func() {
		defer close(p.done)
		_ = shell.Wait()
	}()
	return p, nil
}

// stop ends the server and waits until nothing of it is left.
func (p *process) stop() {
	_ = p.pipe.Close()
	<-p.done
}

// await waits until ready returns nil. When it does not, the server is stopped, and the error has the end of its log.
func (p *process) await(ready func() error) error {
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			p.stop()
			return fmt.Errorf("server is not ready: %w\n%s", err, log)
		}
	}
}

// folder makes a folder for a server, under a path short enough for a Unix socket.
func folder(pattern string) (string, error) {
	parent := os.TempDir()
	if len(parent) > 60 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, pattern)
	if err != nil {
		return "", err
	}
	attributes, err := unprivileged()
	if err != nil {
		return "", err
	}
	if as := attributes.Credential; as != nil {
		err = os.Chown(dir, int(as.Uid), int(as.Gid))
	}
	return dir, err
}

// unprivileged makes a server run as somebody else when we are root, which PostgreSQL refuses to run as.
func unprivileged() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("no user postgres or nobody to run servers as, and root may not run them")
}

// find returns the path of a program, in PATH or where distributions keep PostgreSQL's.
func find(program, install string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	if more, _ := filepath.Glob("/usr/pgsql-*/bin/" + program); found == nil {
		found = more
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s is not installed: %s, or test the embedded stores alone with -short", program, install)
	}
	return found[len(found)-1], nil
}
