package storetest

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

type cluster struct{ dir string }

// sharedCluster starts PostgreSQL once for this test process; a second and some memory is too much for each test.
var sharedCluster = sync.OnceValues(startCluster)

func startCluster() (*cluster, error) {
	const install = "apt-get install postgresql"
	initdb, err := find("initdb", install)
	if err != nil {
		return nil, err
	}
	postgres, err := find("postgres", install)
	if err != nil {
		return nil, err
	}
	dir, err := folder("rgpg")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	create := exec.Command(initdb, "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
	create.Dir = dir
	if create.SysProcAttr, err = unprivileged(); err != nil {
		return nil, err
	}
	if output, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	// Nobody else can reach the socket: its folder is ours. Durability is not what tests are about.
	server, err := start(dir, "QUIT", postgres, "-D", data, "-k", dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "shared_buffers=32MB", "-c", "max_connections=300", "-c", "autovacuum=off")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	return c, server.await(c.ready)
}

// url names a schema of the cluster, which sqldb makes.
func (c *cluster) url(schema string) string {
	params := url.Values{"host": {c.dir}, "user": {"postgres"}}
	if schema != "" {
		params.Set("schema", schema)
	}
	return "postgres:///postgres?" + params.Encode()
}

func (c *cluster) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(""))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
