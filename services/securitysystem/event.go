package securitysystem

import "time"

// EventType is what happened to a system.
type EventType string

const (
	SystemCreated     EventType = "SYSTEM_CREATED"
	SystemArmed       EventType = "SYSTEM_ARMED"
	SystemDisarmed    EventType = "SYSTEM_DISARMED"
	AlarmRaised       EventType = "ALARM_RAISED"
	AlarmAcknowledged EventType = "ALARM_ACKNOWLEDGED"
	FaultsChanged     EventType = "FAULTS_CHANGED"
	PanelRegistered   EventType = "PANEL_REGISTERED"
	SystemRemoved     EventType = "SYSTEM_REMOVED"
)

// Event is one entry of a system's timeline. There is one for each of its versions.
type Event struct {
	ID       string
	SystemID string
	Version  int64
	Type     EventType
	Time     time.Time
	Actor    Actor
	// State, Mode, Alarm and Faults are those after the event. Alarm is the kind that was raised where one was.
	State  State
	Mode   Mode
	Alarm  AlarmKind
	Faults []Fault
	// Detail is what the panel said of an alarm.
	Detail string
	// ReportID is the panel's own name of its report; unique among the reports of one actor. Empty for other events.
	ReportID string
}

// Change is a step from one version of a system to the next. Before is zero when the system is new.
type Change struct {
	Before, After System
	Event         Event
}

// cause is what makes a change.
type cause struct {
	eventID string
	kind    EventType
	actor   Actor
	time    time.Time
	// raised, detail and reportID are of an alarm.
	raised   AlarmKind
	detail   string
	reportID string
}

// step completes a change from before to after, which must differ.
func step(before, after System, c cause) Change {
	after.Version = before.Version + 1
	switch c.kind {
	case AlarmAcknowledged, PanelRegistered, SystemRemoved:
		// These leave state, mode, alarm and faults alone.
	default:
		after.UpdateTime, after.UpdatedBy = c.time, c.actor
	}
	event := Event{
		ID: c.eventID, SystemID: after.ID, Version: after.Version, Type: c.kind, Time: c.time, Actor: c.actor,
		State: after.State, Mode: after.Mode, Alarm: after.Alarm, Faults: after.Faults,
		Detail: c.detail, ReportID: c.reportID,
	}
	if c.raised != "" {
		event.Alarm = c.raised
	}
	return Change{Before: before, After: after, Event: event}
}
