// Package notification tells people what happened to the systems they have rights on: it takes events from the security
// system service's stream, asks the customer service whom each concerns, and delivers a message to each of them, once, by
// e-mail. Whom an event concerns is left to the customer service, what happens to a message after the mail server took it
// to that server.
package notification

import (
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/internal/mail"
)

// Kind is what people are told of.
type Kind string

const (
	Alarm    Kind = "ALARM"
	Armed    Kind = "ARMED"
	Disarmed Kind = "DISARMED"
)

// Notice is an event that people are to be told of.
type Notice struct {
	// EventID is the event's, and unique.
	EventID      string
	Kind         Kind
	Time         time.Time
	LocationID   string
	LocationName string
	// Alarm is why, for an alarm: "intrusion".
	Alarm string
	// Mode is how the system was armed: "away".
	Mode string
	// Detail is what the panel said of an alarm.
	Detail string
	// ActorID and ActorName are who did it. There may be no name.
	ActorID   string
	ActorName string
	// Traceparent is where in a trace it happened; empty for nowhere.
	Traceparent string
	// Attempts is how often it was tried to find out whom the notice concerns.
	Attempts int
}

// Recipient is a person whom an event may concern.
type Recipient struct {
	UserID string
	Name   string
	Email  string
}

// Concerns tells whether r is to be told. Everybody is told of an alarm; who arms or disarms a system knows it already.
func (n Notice) Concerns(r Recipient) bool {
	return n.Kind == Alarm || r.UserID != n.ActorID
}

// Subject is one line that says it all.
func (n Notice) Subject() string {
	location := mail.OneLine(n.LocationName)
	switch n.Kind {
	case Alarm:
		return fmt.Sprintf("ALARM: %s (%s)", location, n.Alarm)
	case Armed:
		return fmt.Sprintf("Armed: %s (%s)", location, n.Mode)
	default:
		return "Disarmed: " + location
	}
}
