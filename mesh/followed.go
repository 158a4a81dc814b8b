package mesh

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// followed is what some files hold, read again when they have changed.
type followed[T any] struct {
	files []string
	read  func() (T, error)
	log   *slog.Logger

	mu      sync.Mutex
	value   T
	written []stamp
	problem string
}

// stamp is what tells one version of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

func follow[T any](log *slog.Logger, read func() (T, error), files ...string) (*followed[T], error) {
	f := &followed[T]{files: files, read: read, log: log}
	written, err := f.stamps()
	if err == nil {
		f.value, err = read()
	} else {
		_, err = read() // which says better what is wrong
	}
	f.written = written
	return f, err
}

// get returns what the files hold, or held when they could last be used.
func (f *followed[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	written, err := f.stamps()
	if err == nil && slices.Equal(written, f.written) {
		return f.value
	}
	if err == nil {
		var value T
		if value, err = f.read(); err == nil {
			f.value, f.written = value, written
		}
	}
	f.report(err)
	return f.value
}

// report logs a problem once.
func (f *followed[T]) report(err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != "" && problem != f.problem && f.log != nil {
		f.log.Error("TLS files cannot be used; the last that could stay in use", slog.String("error", problem))
	}
	f.problem = problem
}

func (f *followed[T]) stamps() ([]stamp, error) {
	stamps := make([]stamp, 0, len(f.files))
	for _, file := range f.files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, stamp{info.ModTime(), info.Size()})
	}
	return stamps, nil
}
