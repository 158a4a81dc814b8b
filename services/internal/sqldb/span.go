package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/realguardio/realguardio/mesh/tracing"
)

// system is an engine as OpenTelemetry calls it.
type system string

// span begins the span of a statement in the one that ctx belongs to, if that is recorded: else it costs a look at ctx. Of
// the statement it has what it does to which table, of its arguments nothing.
func (s system) span(ctx context.Context, query string) tracing.Span {
	if !tracing.Recorded(ctx) {
		return tracing.Span{}
	}
	operation, table := summary(query)
	_, span := tracing.Within(ctx, tracing.Client, strings.TrimSpace(operation+" "+table), tracing.String("db.system.name", string(s)),
		tracing.String("db.operation.name", operation), tracing.String("db.collection.name", table))
	return span
}

// transaction begins the span of a transaction, from its first statement to its end. It covers those of its statements,
// which are not its children: they go by the context that they are given.
func (s system) transaction(ctx context.Context) tracing.Span {
	if !tracing.Recorded(ctx) {
		return tracing.Span{}
	}
	_, span := tracing.Within(ctx, tracing.Client, "TRANSACTION", tracing.String("db.system.name", string(s)), tracing.String("db.operation.name", "TRANSACTION"))
	return span
}

// ended ends the span of a statement of which one row is asked for. That there is none is no failure.
func ended(span tracing.Span, row *sql.Row) *sql.Row {
	err := row.Err()
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	span.End(err)
	return row
}

// summary returns what a statement does, and to which table: the first one that it names.
func summary(query string) (operation, table string) {
	first, rest := word(query)
	operation = strings.ToUpper(first)
	named := operation == "UPDATE"
	for next, rest := word(rest); next != ""; next, rest = word(rest) {
		switch keyword := strings.ToUpper(next); {
		case keyword == "FROM" || keyword == "INTO":
			named = true
		case keyword == "SELECT": // of a subquery
			named = false
		case named:
			return operation, next
		}
	}
	return operation, ""
}
