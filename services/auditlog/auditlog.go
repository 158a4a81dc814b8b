// Package auditlog tells whether an audit log is whole, from its entries as AuditService shows them: whoever may read a log
// can check its chain without believing the part that keeps it. How entries are chained is said in services/internal/audit.
package auditlog

import (
	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	"github.com/realguardio/realguardio/services/internal/audit"
)

// Head is the last entry of a log, to be kept elsewhere.
type Head = audit.Head

// Finding is the first entry that is missing, or not as it was written.
type Finding = audit.Finding

// Walk checks a log page by page, the newest entries first and none left out.
type Walk struct {
	known Head
	walk  *audit.Walk
}

// NewWalk returns the walk of a log that must go through known, its head of an earlier time; the zero Head is that of every
// log.
func NewWalk(known Head) *Walk { return &Walk{known: known} }

// Add takes the next page.
func (w *Walk) Add(page *auditv1.ListEntriesResponse) {
	if w.walk == nil {
		w.walk = audit.NewWalk(page.GetLastNumber(), w.known)
	}
	for _, e := range page.GetEntries() {
		w.walk.Add(audit.FromProto(e))
	}
}

// End says after the last page what the head of the log is, or as a [*Finding] which entry is the first that shows a change.
func (w *Walk) End() (Head, error) {
	if w.walk == nil {
		w.walk = audit.NewWalk(0, w.known)
	}
	return w.walk.End()
}
