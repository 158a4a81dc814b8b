package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

// object is a resource as REST shows it.
type object = map[string]any

// api is a running installation that a command manages, and where it prints what that answers.
type api struct {
	remote.Gateway
	ctx     context.Context
	to      io.Writer
	format  string
	columns []string
}

// manage adds a command that calls REST: as who has signed in, or else as the demo's account that may do it. columns are
// the members of what it prints that a table has.
func manage(w World, c *cobra.Command, as string, columns []string, declare func(*settings.Set), run func(a *api, args []string) error) *cobra.Command {
	var t target
	var out output
	all := func(s *settings.Set) {
		t.declare(s)
		t.declareToken(s)
		out.declare(s)
		if declare != nil {
			declare(s)
		}
	}
	return command(w, c, "", all, func(c *cobra.Command, args []string) error {
		gateway, err := t.gateway(c.Context(), demo.TrustedClient, as)
		if err != nil {
			return err
		}
		return run(&api{gateway, c.Context(), c.OutOrStdout(), out.format, columns}, args)
	})
}

// path joins what a URL's path is made of. Ids come from the command line.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for i, part := range parts {
		if i%2 == 1 {
			part = url.PathEscape(part)
		}
		b.WriteString(part)
	}
	return b.String()
}

// do calls and prints the answer, or the member of it that has a name.
func (a *api) do(doing, method, at string, in any, member string) error {
	answer := object{}
	if err := a.Call(a.ctx, method, at, in, &answer); err != nil {
		return fmt.Errorf("cannot %s: %w", doing, err)
	}
	if inner, ok := answer[member].(object); ok {
		answer = inner
	}
	return a.print(answer)
}

// call calls where the answer says nothing.
func (a *api) call(doing, method, at string, in any) error {
	if err := a.Call(a.ctx, method, at, in, nil); err != nil {
		return fmt.Errorf("cannot %s: %w", doing, err)
	}
	return nil
}

// list prints what a list has in its member, of all its pages but not more than most; 0 is all.
func (a *api) list(doing, at string, query url.Values, member string, most int) error {
	all := []object{}
	for {
		var page map[string]json.RawMessage
		if err := a.Call(a.ctx, http.MethodGet, at+"?"+query.Encode(), nil, &page); err != nil {
			return fmt.Errorf("cannot %s: %w", doing, err)
		}
		var some []object
		if raw, ok := page[member]; ok {
			if err := json.Unmarshal(raw, &some); err != nil {
				return fmt.Errorf("cannot %s: the answer has no list of %s", doing, member)
			}
		}
		all = append(all, some...)
		next := ""
		if raw, ok := page["nextPageToken"]; ok {
			_ = json.Unmarshal(raw, &next) // what is no token is the end
		}
		if most > 0 && len(all) >= most {
			all = all[:most]
			break
		}
		if next == "" {
			break
		}
		query.Set("pageToken", next)
	}
	return a.printAll(all)
}

// printAll prints the resources of a list.
func (a *api) printAll(list []object) error {
	if a.format == "json" {
		return printJSON(a.to, list)
	}
	return a.table(list)
}

// print prints one resource.
func (a *api) print(one object) error {
	if a.format == "json" {
		return printJSON(a.to, one)
	}
	return a.table([]object{one})
}

func (a *api) table(rows []object) error {
	table := tabwriter.NewWriter(a.to, 0, 4, 2, ' ', 0)
	headings := make([]string, len(a.columns))
	for i, column := range a.columns {
		headings[i] = heading(column)
	}
	fmt.Fprintln(table, strings.Join(headings, "\t"))
	for _, row := range rows {
		cells := make([]string, len(a.columns))
		for i, column := range a.columns {
			cells[i] = cell(row[column])
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

// heading is the name of a member as a table's heading: createTime is CREATED, clientSecret CLIENT SECRET.
func heading(member string) string {
	switch member {
	case "authTime":
		return "SIGNED IN"
	case "createTime":
		return "CREATED"
	case "updateTime":
		return "UPDATED"
	case "activateTime":
		return "ACTIVATED"
	case "retireTime":
		return "RETIRED"
	case "expireTime":
		return "EXPIRES"
	case "lastUseTime":
		return "LAST USED"
	case "revokeTime":
		return "REVOKED"
	case "userAgent":
		return "BROWSER"
	}
	var words strings.Builder
	for _, r := range member {
		if unicode.IsUpper(r) {
			words.WriteByte(' ')
		}
		words.WriteRune(unicode.ToUpper(r))
	}
	return words.String()
}

// cell is a value in a table: on one line, and without what a terminal would obey. Much of it was chosen by people.
func cell(value any) string {
	switch v := value.(type) {
	case nil:
		return "-"
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = cell(v[i])
		}
		return strings.Join(words, " ")
	case string:
		return plainText(v)
	}
	return fmt.Sprint(value)
}

// plainText takes out what is no letter, mark, number, punctuation or space.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}
