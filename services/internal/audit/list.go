package audit

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/realguardio/realguardio/services/internal/sqldb"
)

const columns = `number, time, actor, client_id, action, target, result, address, request_id, details, hash`

// Filter says which entries are wanted. The zero Filter is for all.
type Filter struct {
	Actor, Target string
	// Action with a trailing dot is for all that begin so.
	Action string
}

// List returns at most limit entries below the number before, the newest first; 0 is above all.
func List(ctx context.Context, db *sqldb.DB, f Filter, before int64, limit int) ([]Entry, error) {
	where, args := []string{`number < $1`}, []any{before}
	if before == 0 {
		args[0] = int64(math.MaxInt64)
	}
	add := func(expression string, value any) {
		args = append(args, value)
		where = append(where, expression+` = $`+strconv.Itoa(len(args)))
	}
	if f.Actor != "" {
		add(`actor`, f.Actor)
	}
	if f.Target != "" {
		add(`target`, f.Target)
	}
	if strings.HasSuffix(f.Action, ".") {
		add(`substr(action, 1, `+strconv.Itoa(utf8.RuneCountInString(f.Action))+`)`, f.Action)
	} else if f.Action != "" {
		add(`action`, f.Action)
	}
	args = append(args, limit)
	return read(ctx, db, strings.Join(where, ` AND `)+` ORDER BY number DESC LIMIT $`+strconv.Itoa(len(args)), args...)
}

func read(ctx context.Context, db *sqldb.DB, which string, args ...any) ([]Entry, error) {
	rows, err := db.Query(ctx, `SELECT `+columns+` FROM audit_entries WHERE `+which, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer rows.Close()
	var entries []Entry
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return entries, nil
}

// namesIn are those that a detail lists; nil for none.
func namesIn(detail string) []string {
	if detail == "" {
		return nil
	}
	return strings.Fields(detail)
}

func scan(rows *sql.Rows) (e Entry, err error) {
	var micros int64
	var details, hash string
	err = rows.Scan(&e.Number, &micros, &e.Actor, &e.ClientID, &e.Action, &e.Target, &e.Result, &e.Address, &e.RequestID, &details, &hash)
	if err != nil {
		return Entry{}, err
	}
	e.Time = sqldb.Time(micros)
	// What is not as it was written is shown as far as it can be read: Verify tells.
	for _, text := range []*string{&e.Actor, &e.ClientID, &e.Action, &e.Target, &e.Result, &e.Address, &e.RequestID} {
		*text = strings.ToValidUTF8(*text, "\uFFFD")
	}
	_ = json.Unmarshal([]byte(details), &e.Details)
	e.Actors, e.Via = namesIn(e.Details[detailActors]), namesIn(e.Details[detailVia])
	e.Hash, _ = hex.DecodeString(hash)
	return e, nil
}
