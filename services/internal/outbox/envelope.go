package outbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Envelope is an event as it stands in the stream: a CloudEvent 1.0 in JSON, with the extensions "sequence" (CloudEvents
// Sequence), "traceparent" (CloudEvents Distributed Tracing) and "subjectversion".
type Envelope struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	// Sequence sorts, as text, like the positions of the source's events in the stream.
	Sequence string `json:"sequence"`
	// SubjectVersion is [Event.Version]; a string because CloudEvents has no 64-bit integers.
	SubjectVersion int64 `json:"subjectversion,string"`
	// Traceparent is where in a trace the change was made; empty for nowhere.
	Traceparent     string          `json:"traceparent,omitempty"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// Position is where an event stands in its stream, and the id of its entry there. Within an epoch the next event has the
// next sequence: a greater one means that some were lost. A new epoch means that the source started over, and that
// whatever was taken from it may have changed unseen.
type Position struct {
	// Epoch is the time in milliseconds at which the source began to count.
	Epoch int64
	// Sequence counts from 1.
	Sequence int64
}

// String returns p as a Redis stream id.
func (p Position) String() string { return fmt.Sprintf("%d-%d", p.Epoch, p.Sequence) }

// Follows tells whether no event stands between earlier and p.
func (p Position) Follows(earlier Position) bool {
	return p.Epoch == earlier.Epoch && p.Sequence == earlier.Sequence+1
}

// compare returns -1 where p is before other, 0 where it is the same, 1 where it is after.
func (p Position) compare(other Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, other.Epoch), cmp.Compare(p.Sequence, other.Sequence))
}

// ParsePosition reads a Redis stream id.
func ParsePosition(id string) (Position, error) {
	epoch, sequence, ok := strings.Cut(id, "-")
	e, err1 := strconv.ParseInt(epoch, 10, 64)
	s, err2 := strconv.ParseInt(sequence, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Position{}, fmt.Errorf("stream entry %q has no position", id)
	}
	return Position{Epoch: e, Sequence: s}, nil
}

// Fields of a stream entry. The event's id stands beside the event so that the relay can recognise its own entries.
const (
	fieldID    = "id"
	fieldEvent = "event"
)

// entry returns what stands in the stream at p for e.
func entry(source string, e Event, p Position) ([]any, error) {
	envelope, err := json.Marshal(Envelope{
		SpecVersion: "1.0", ID: e.ID, Source: source, Type: e.Type, Subject: e.Subject, Time: e.Time,
		Sequence: fmt.Sprintf("%015d-%019d", p.Epoch, p.Sequence), SubjectVersion: e.Version,
		Traceparent: e.Traceparent, DataContentType: "application/json", Data: e.Data,
	})
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return []any{fieldID, e.ID, fieldEvent, string(envelope)}, nil
}

// Decode reads an entry of a stream that a [Relay] writes. The position is valid even when the event is not, so that a
// consumer can step over an entry that nobody will ever be able to read.
func Decode(message redis.XMessage) (Envelope, Position, error) {
	position, err := ParsePosition(message.ID)
	if err != nil {
		return Envelope{}, Position{}, err
	}
	text, ok := message.Values[fieldEvent].(string)
	if !ok {
		return Envelope{}, position, errors.New("stream entry has no event")
	}
	var e Envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Envelope{}, position, fmt.Errorf("decode event: %w", err)
	}
	if e.SpecVersion != "1.0" || e.ID == "" || e.Type == "" {
		return Envelope{}, position, errors.New("stream entry is not a CloudEvent 1.0")
	}
	return e, position, nil
}
