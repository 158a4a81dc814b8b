package sqldb

import (
	"context"
	"fmt"
	"hash/crc64"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate brings the schema of db up to date by the goose migrations schema/*.sql of files. Replicas that start together
// take turns. The first time makes the schema that of the service owner; one that is another's is refused and stays as
// it is.
func Migrate(ctx context.Context, db *DB, owner string, files fs.FS) error {
	if err := claim(ctx, db, owner); err != nil {
		return err
	}
	return migrate(ctx, db, files)
}

// MigrateShared does the same for tables that several services have in the same form, such as the outbox. They are
// numbered on their own, and name says whose versions they are.
func MigrateShared(ctx context.Context, db *DB, name string, files fs.FS) error {
	return migrate(ctx, db, files, goose.WithTableName("goose_"+name+"_version"))
}

func migrate(ctx context.Context, db *DB, files fs.FS, options ...goose.ProviderOption) error {
	migrations, err := fs.Sub(files, "schema")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	options = append(options, goose.WithDisableGlobalRegistry(true))
	if db.engine.dialect() == goose.DialectPostgres {
		// Advisory locks are of the whole database; services in other schemas need not wait.
		id := int64(crc64.Checksum([]byte("realguardio/"+db.schema), crc64.MakeTable(crc64.ISO)) >> 1)
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(id), lock.WithLockTimeout(1, 120))
		if err != nil {
			return fmt.Errorf("prepare migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(db.engine.dialect(), db.write, migrations, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if err := up(ctx, provider); err != nil {
		return fmt.Errorf("migrate database: %w", db.explained(err))
	}
	return nil
}

// up applies what is missing. SQLite has no lock that goose could take over a whole run, so two replicas may find the
// same migration missing; each migration is one transaction, and the one that comes second fails and changes nothing. It
// looks again as long as somebody got further: an error at a version that nobody passes is the migration's own.
func up(ctx context.Context, provider *goose.Provider) error {
	for {
		before, err := provider.GetDBVersion(ctx)
		if err != nil {
			return err
		}
		_, failed := provider.Up(ctx)
		if failed == nil {
			return nil
		}
		if after, err := provider.GetDBVersion(ctx); err != nil || after == before {
			return failed
		}
	}
}
