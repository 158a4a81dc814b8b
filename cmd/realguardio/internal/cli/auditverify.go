package cli

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/remote"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	"github.com/realguardio/realguardio/services/auditlog"
)

func newAuditVerify(w World) *cobra.Command {
	var part string
	var known knownHeads
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that no entry was changed or taken out",
		Long: `Read an audit log to its beginning and compute every hash again, here and not where the log is kept: each entry carries a hash
over itself and the one before it. The first entry that is missing, or not as it was written, is named, and the exit code is 1.

A log that was written anew from some entry on is whole by itself. It does not have its old hashes: keep what HEAD shows somewhere
else, and have it looked for with --known the next time.`,
		Example: `  realguardio audit verify
  realguardio audit verify --part customer --known customer:4711:51f0...`,
	}
	declare := func(s *settings.Set) {
		s.String(&part, "part", "whose log: "+strings.Join(recordingParts, ", ")+" (default: those of all)", settings.OneOf(append([]string{""}, recordingParts...)...))
		known.declare(s)
		s.Rule(func() error {
			for other := range known.of {
				if part != "" && part != other {
					return fmt.Errorf("--known: %s is not verified with --part %s", other, part)
				}
			}
			return nil
		})
	}
	columns := []string{"part", "entries", "result", "head"}
	return manage(w, c, demo.Admin, columns, declare, func(a *api, _ []string) error {
		parts := recordingParts
		if part != "" {
			parts = []string{part}
		}
		var results []object
		var problems []error
		for _, part := range parts {
			result, err := a.verify(part, known.of[part])
			results, problems = append(results, result), append(problems, err)
		}
		return errors.Join(append(problems, a.printAll(results))...)
	})
}

// verify checks the log of a part, and says in words what it finds. An error is that as well.
func (a *api) verify(part string, known auditlog.Head) (object, error) {
	walk := auditlog.NewWalk(known)
	query := url.Values{"pageSize": {"200"}}
	for {
		page, err := a.auditPage(part, query)
		if err != nil {
			return object{"part": part, "result": "cannot be read"}, fmt.Errorf("cannot read the audit log of %s: %w", part, err)
		}
		walk.Add(page)
		if page.GetNextPageToken() == "" {
			break
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
	head, err := walk.End()
	if err != nil {
		return object{"part": part, "result": err.Error()}, fmt.Errorf("the audit log of %s was changed: %w", part, err)
	}
	result := object{"part": part, "entries": strconv.FormatInt(head.Number, 10), "result": "whole"}
	if head.Number > 0 {
		result["head"] = fmt.Sprintf("%s:%d:%x", part, head.Number, head.Hash)
	}
	return result, nil
}

// auditPage reads a page. A log may have more of them than may be read at once: who is told to wait does.
func (a *api) auditPage(part string, query url.Values) (*auditv1.ListEntriesResponse, error) {
	for {
		var raw json.RawMessage
		err := a.Call(a.ctx, http.MethodGet, path("/audit/", part)+"?"+query.Encode(), nil, &raw)
		var problem *remote.Problem
		if errors.As(err, &problem) && problem.Status == http.StatusTooManyRequests {
			timer := time.NewTimer(cmp.Or(problem.RetryAfter, time.Second))
			select {
			case <-timer.C:
				continue
			case <-a.ctx.Done():
				timer.Stop()
				return nil, a.ctx.Err()
			}
		}
		if err != nil {
			return nil, err
		}
		page := &auditv1.ListEntriesResponse{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, page); err != nil {
			return nil, errors.New("the answer is no list of entries")
		}
		return page, nil
	}
}

// knownHeads are the heads that logs had before, as verify has shown them.
type knownHeads struct {
	shown []string
	of    map[string]auditlog.Head
}

func (k *knownHeads) declare(s *settings.Set) {
	s.Strings(&k.shown, "known", "head of an earlier time, as HEAD showed it, that the log must still have: PART:NUMBER:HASH, one of each part at most")
	s.Rule(func() error {
		k.of = map[string]auditlog.Head{}
		for _, one := range k.shown {
			part, head, err := parseHead(one)
			if _, twice := k.of[part]; err != nil || twice {
				return fmt.Errorf("--known: %q is not PART:NUMBER:HASH, as HEAD shows it, or another one of its part", one)
			}
			k.of[part] = head
		}
		return nil
	})
}

func parseHead(shown string) (part string, head auditlog.Head, err error) {
	words := strings.Split(shown, ":")
	if len(words) != 3 || !slices.Contains(recordingParts, words[0]) {
		return "", head, errors.New("no head")
	}
	head.Number, err = strconv.ParseInt(words[1], 10, 64)
	hash, wrong := hex.DecodeString(words[2])
	head.Hash = hash
	if err != nil || wrong != nil || head.Number < 1 || len(hash) != 32 {
		return "", head, errors.New("no head")
	}
	return words[0], head, nil
}
