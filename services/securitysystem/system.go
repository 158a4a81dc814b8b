// Package securitysystem owns the alarm systems: the state of each, who may change it, and who did. It leaves locations
// and grants to the customer service, which it asks on the caller's behalf, and the credentials of panels to the identity
// provider.
package securitysystem

import (
	"slices"
	"strconv"
	"time"
)

// State is what a system is in.
type State string

// Mode is how an armed system is armed. It is empty while the system is disarmed.
type Mode string

// AlarmKind is why a system is alarmed. It is empty otherwise.
type AlarmKind string

// Fault is something wrong with a system that does not change its state.
type Fault string

// Action is what a person or script may do to a system.
type Action string

const (
	Disarmed State = "DISARMED"
	Armed    State = "ARMED"
	Alarmed  State = "ALARMED"

	Away  Mode = "AWAY"
	Stay  Mode = "STAY"
	Night Mode = "NIGHT"

	Intrusion AlarmKind = "INTRUSION"
	Panic     AlarmKind = "PANIC"
	Tamper    AlarmKind = "TAMPER"
	Fire      AlarmKind = "FIRE"

	LowBattery Fault = "LOW_BATTERY"
	Offline    Fault = "OFFLINE"
	Tampered   Fault = "TAMPERED"

	Arm         Action = "ARM"
	Disarm      Action = "DISARM"
	Acknowledge Action = "ACKNOWLEDGE"
)

// actions are all actions, in the order in which they are shown.
var actions = []Action{Arm, Disarm, Acknowledge}

// System is the alarm system of one location. Its methods return what a step makes of it and leave it as it is.
type System struct {
	ID         string
	CustomerID string
	LocationID string
	// LocationName is the location's name when the system was installed.
	LocationName string

	State        State
	Mode         Mode
	Alarm        AlarmKind
	Acknowledged bool
	// Faults are sorted, without duplicates.
	Faults []Fault
	// PanelClientID is the client that reports for the system. Empty: it has no panel.
	PanelClientID string

	// Version counts the changes, from 1.
	Version    int64
	CreateTime time.Time
	// UpdateTime and UpdatedBy are of the last change of state, mode, alarm or faults.
	UpdateTime time.Time
	UpdatedBy  Actor
}

// Actor is who did something, as their token said at the time.
type Actor struct {
	ID       string
	Name     string
	ClientID string
}

// Refusal is why a system in its present state does not do what it was asked to.
type Refusal struct {
	// Reason is UPPER_SNAKE, for programs.
	Reason string
	// Message is one sentence, for people.
	Message string
}

func (r Refusal) Error() string { return r.Message }

// What a system refuses.
var (
	errAlarmed     = Refusal{"SYSTEM_ALARMED", "the system is alarmed: disarm it first"}
	errArmed       = Refusal{"SYSTEM_ARMED", "the system is armed in another mode: disarm it first"}
	errNotAlarmed  = Refusal{"SYSTEM_NOT_ALARMED", "the system is not alarmed"}
	errDisarmed    = Refusal{"SYSTEM_DISARMED", "the system is disarmed: there is nothing to intrude on"}
	errNotDisarmed = Refusal{"SYSTEM_NOT_DISARMED", "the system is not disarmed"}
)

// ETag is the version as callers see it.
func (s System) ETag() string { return strconv.FormatInt(s.Version, 10) }

// Arm arms a disarmed system. changed is false when it is armed in that mode already.
func (s System) Arm(mode Mode) (next System, changed bool, err error) {
	switch {
	case s.State == Alarmed:
		return s, false, errAlarmed
	case s.State == Armed && s.Mode != mode:
		return s, false, errArmed
	case s.State == Armed:
		return s, false, nil
	}
	s.State, s.Mode = Armed, mode
	return s, true, nil
}

// Disarm disarms a system and ends its alarm. changed is false when it is disarmed already.
func (s System) Disarm() (next System, changed bool, err error) {
	if s.State == Disarmed {
		return s, false, nil
	}
	s.State, s.Mode, s.Alarm, s.Acknowledged = Disarmed, "", "", false
	return s, true, nil
}

// Acknowledge notes that somebody knows of the alarm. changed is false when somebody does already.
func (s System) Acknowledge() (next System, changed bool, err error) {
	if s.State != Alarmed {
		return s, false, errNotAlarmed
	}
	if s.Acknowledged {
		return s, false, nil
	}
	s.Acknowledged = true
	return s, true, nil
}

// severity orders alarms: a worse one replaces what a system is alarmed for.
var severity = map[AlarmKind]int{Tamper: 1, Intrusion: 2, Panic: 3, Fire: 4}

// Raise raises an alarm. Only an intrusion asks for an armed system. An alarm on top of another is news, so that it needs to
// be acknowledged again, and keeps the worse of the two.
func (s System) Raise(kind AlarmKind) (System, error) {
	if kind == Intrusion && s.State == Disarmed {
		return s, errDisarmed
	}
	if severity[kind] > severity[s.Alarm] {
		s.Alarm = kind
	}
	s.State, s.Acknowledged = Alarmed, false
	return s, nil
}

// Report replaces the faults. changed is false when they are the same.
func (s System) Report(faults []Fault) (next System, changed bool) {
	faults = slices.Clone(faults)
	slices.Sort(faults)
	faults = slices.Compact(faults)
	if slices.Equal(faults, s.Faults) {
		return s, false
	}
	s.Faults = faults
	return s, true
}

// Removable returns why the system cannot be taken out of service, or nil.
func (s System) Removable() error {
	if s.State != Disarmed {
		return errNotDisarmed
	}
	return nil
}

// Accepts tells whether a would change the system as it is.
func (s System) Accepts(a Action) bool {
	switch a {
	case Arm:
		return s.State == Disarmed
	case Disarm:
		return s.State != Disarmed
	case Acknowledge:
		return s.State == Alarmed && !s.Acknowledged
	}
	return false
}
