package bench

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/realguardio/realguardio/services/database"
)

// startPostgres starts a PostgreSQL that is as durable as it comes, and returns its URL. It skips b where there is none.
func startPostgres(b *testing.B) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		b.Skip("no PostgreSQL here")
	}
	bin := found[len(found)-1]
	dir, err := os.MkdirTemp("", "rgbench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	run := func(program string, args ...string) *exec.Cmd {
		command := exec.Command(filepath.Join(bin, program), args...)
		command.Dir, command.SysProcAttr = dir, unprivileged(b, dir)
		return command
	}
	if out, err := run("initdb", "-D", dir+"/data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		b.Fatalf("initdb: %v\n%s", err, out)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	port := strconv.Itoa(lis.Addr().(*net.TCPAddr).Port)
	_ = lis.Close()
	server := run("postgres", "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=127.0.0.1", "-p", port, "-c", "max_connections=100")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Process.Signal(syscall.SIGQUIT); _ = server.Wait() })
	url := "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	await(b, "PostgreSQL", func() error {
		db, err := database.Open(b.Context(), url)
		if err != nil {
			return err
		}
		return db.Close()
	})
	return url
}

// unprivileged makes a server run as somebody else when we are root, which PostgreSQL refuses to run as.
func unprivileged(b *testing.B, dir string) *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		b.Skip("no user to run PostgreSQL as: ", err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		b.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
