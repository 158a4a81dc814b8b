package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dataDir is the folder in which everything that survives a restart is kept.
type dataDir struct {
	path string
	// lock is held while this process uses the folder: two would write into the same databases.
	lock      *os.File
	ephemeral bool
}

func openDataDir(path string, ephemeral bool) (*dataDir, error) {
	if ephemeral {
		temporary, err := os.MkdirTemp("", "realguardio-dev-")
		if err != nil {
			return nil, fmt.Errorf("cannot make a temporary data folder: %w", err)
		}
		return &dataDir{path: temporary, ephemeral: true}, nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot use data folder %s: %w", path, err)
	}
	if err := os.MkdirAll(absolute, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(absolute, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot use data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s is in use by another realguardio dev (--data-dir gives another, --ephemeral a temporary one)", absolute), lock.Close())
	}
	return &dataDir{path: absolute, lock: lock}, nil
}

// file is a path in the folder.
func (d *dataDir) file(name ...string) string {
	return filepath.Join(append([]string{d.path}, name...)...)
}

// folder is a path in the folder at which a folder is.
func (d *dataDir) folder(name string) (string, error) {
	path := d.file(name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("cannot make %s: %w", path, err)
	}
	return path, nil
}

func (d *dataDir) close() error {
	if d.ephemeral {
		if err := os.RemoveAll(d.path); err != nil {
			return fmt.Errorf("cannot remove the temporary data folder: %w", err)
		}
		return nil
	}
	return d.lock.Close()
}
