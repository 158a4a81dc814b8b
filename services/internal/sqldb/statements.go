package sqldb

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds the texts that are kept prepared; services have some dozens. What does not fit is prepared anew
// each time.
const maxStatements = 128

// statements keeps the statements of a pool of SQLite connections prepared, which takes longer than to run most of them.
// PostgreSQL's driver does that by itself: there it is nil, and keeps nothing.
type statements struct {
	pool *sql.DB

	mu     sync.Mutex
	byText map[string]*sql.Stmt
}

func newStatements(pool *sql.DB) *statements {
	return &statements{pool: pool, byText: map[string]*sql.Stmt{}}
}

// kept returns the statement of that text, or nil where it is not prepared.
func (s *statements) kept(query string) *sql.Stmt {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byText[query]
}

// prepare returns the statement of that text, which it prepares when it is new; nil where that is not possible, which
// running the text will explain. It waits for a connection of the pool.
func (s *statements) prepare(ctx context.Context, query string) *sql.Stmt {
	if stmt := s.kept(query); stmt != nil || s == nil || s.full() {
		return stmt
	}
	stmt, err := s.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.byText[query]; first != nil {
		_ = stmt.Close()
		return first
	}
	s.byText[query] = stmt
	return stmt
}

func (s *statements) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byText) >= maxStatements
}
