package sqldb

import "context"

// Span begins and ends the span of a statement that does nothing.
func Span(ctx context.Context, query string) { system("sqlite").span(ctx, query).End(nil) }
