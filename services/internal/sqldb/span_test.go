package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/realguardio/realguardio/mesh/tracing"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// kept is an exporter that keeps its spans when it is shut down.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

func newTracer(t testing.TB, sampler sdktrace.Sampler) (*tracing.Tracer, *tracetest.InMemoryExporter) {
	exporter := tracetest.NewInMemoryExporter()
	tracer, err := tracing.New(t.Context(), tracing.Config{Part: "part", Exporter: kept{exporter}, Sampler: sampler})
	if err != nil {
		t.Fatal(err)
	}
	return tracer, exporter
}

// TestAStatementIsASpanOfTheCallItIsFor: with what it does to which table, whether it failed, and none of its arguments.
func TestAStatementIsASpanOfTheCallItIsFor(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB, _ func() *sqldb.DB) {
		tracer, exporter := newTracer(t, tracing.Ratio(1))
		ctx, call := tracer.Begin(t.Context(), tracing.Internal, "call")
		const secret = "hunter2"
		var n int
		run := func(q sqldb.Querier) error {
			if _, err := q.Exec(ctx, `INSERT INTO things (id, owner_id, name) VALUES ($1, 'o', $1)`, secret); err != nil {
				return err
			}
			rows, err := q.Query(ctx, `SELECT t.id FROM (SELECT id FROM things WHERE name = $1) t`, secret)
			if err != nil {
				return err
			}
			if err := rows.Close(); err != nil {
				return err
			}
			if err := q.QueryRow(ctx, `SELECT seats FROM owners WHERE id = $1`, secret).Scan(&n); !errors.Is(err, sqldb.ErrNoRows) {
				return fmt.Errorf("got %w", err)
			}
			if err := q.QueryRow(ctx, `UPDATE owners SET seats = 1 WHERE id = 'o' RETURNING seats`).Scan(&n); err != nil {
				return err
			}
			_, err = q.Exec(ctx, `DELETE FROM things WHERE id = $1`, secret)
			return err
		}
		if err := errors.Join(run(db), db.Tx(ctx, func(tx sqldb.Tx) error { return run(tx) })); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(ctx, `INSERT INTO things (id, owner_id, name) VALUES ($1, 'nobody', $1)`, secret); err == nil {
			t.Error("a reference to nothing is stored")
		}
		call.End(nil)
		if err := tracer.Close(); err != nil {
			t.Fatal(err)
		}
		statements := []string{"INSERT things", "SELECT things", "SELECT owners", "UPDATE owners", "DELETE things"}
		want := slices.Concat(statements, statements, []string{"TRANSACTION", "INSERT things Error", "call"})
		var got []string
		for _, s := range exporter.GetSpans() {
			name := s.Name
			if s.Status.Code.String() == "Error" {
				name += " Error"
			}
			got = append(got, name)
			for _, a := range s.Attributes {
				if a.Value.Emit() == secret || a.Key == "db.system.name" && a.Value.Emit() != "sqlite" && a.Value.Emit() != "postgresql" {
					t.Errorf("%s has %v", s.Name, a)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// TestAStatementCostsNothingWhereNobodyRecords it: neither without a tracer nor in a call that is not sampled.
func TestAStatementCostsNothingWhereNobodyRecords(t *testing.T) {
	tracer, exporter := newTracer(t, tracing.Ratio(0))
	unsampled, _ := tracer.Begin(t.Context(), tracing.Internal, "call")
	for name, ctx := range map[string]context.Context{"without a tracer": t.Context(), "in a call that is not sampled": unsampled} {
		if n := testing.AllocsPerRun(100, func() { sqldb.Span(ctx, `SELECT seats FROM owners WHERE id = $1`) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if err := tracer.Close(); err != nil || len(exporter.GetSpans()) != 0 {
		t.Errorf("%d spans, %v", len(exporter.GetSpans()), err)
	}
}

func BenchmarkSpan(b *testing.B) {
	for name, sampler := range map[string]sdktrace.Sampler{"recorded": tracing.Ratio(1), "unsampled": tracing.Ratio(0)} {
		b.Run(name, func(b *testing.B) {
			tracer, _ := newTracer(b, sampler)
			ctx, _ := tracer.Begin(b.Context(), tracing.Internal, "call")
			b.ReportAllocs()
			for b.Loop() {
				sqldb.Span(ctx, `SELECT seats FROM owners WHERE id = $1`)
			}
		})
	}
}
