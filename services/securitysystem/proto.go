package securitysystem

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/services/internal/outbox"
)

// systemProto returns s for a caller who may do allowed to it.
func systemProto(s System, allowed []Action) *securitysystemv1.SecuritySystem {
	p := &securitysystemv1.SecuritySystem{
		Id: s.ID, CustomerId: s.CustomerID, LocationId: s.LocationID, LocationName: s.LocationName,
		State: stateProto(s.State), Mode: modeProto(s.Mode), Alarm: alarmProto(s.Alarm), Acknowledged: s.Acknowledged,
		Faults: faultsProto(s.Faults), Etag: s.ETag(),
		CreateTime: timestamppb.New(s.CreateTime), UpdateTime: timestamppb.New(s.UpdateTime), UpdatedBy: actorProto(s.UpdatedBy),
	}
	for _, a := range allowed {
		p.AllowedActions = append(p.AllowedActions, securitysystemv1.Action(securitysystemv1.Action_value[string(a)]))
	}
	return p
}

func eventProto(e Event) *securitysystemv1.Event {
	return &securitysystemv1.Event{
		Id: e.ID, SecuritySystemId: e.SystemID, Type: securitysystemv1.EventType(securitysystemv1.EventType_value[string(e.Type)]),
		Time: timestamppb.New(e.Time), Actor: actorProto(e.Actor), State: stateProto(e.State), Mode: modeProto(e.Mode),
		Alarm: alarmProto(e.Alarm), Faults: faultsProto(e.Faults), Detail: e.Detail,
	}
}

// publicEvent returns what others are told of a change. It carries facts about the actor, never a credential.
func publicEvent(c Change) (outbox.Event, error) {
	changed := &securitysystemv1.SecuritySystemChanged{
		Event: eventProto(c.Event), CustomerId: c.After.CustomerID, LocationId: c.After.LocationID,
		LocationName: c.After.LocationName,
	}
	data, err := protojson.Marshal(changed)
	if err != nil {
		return outbox.Event{}, fmt.Errorf("encode event: %w", err)
	}
	return outbox.Event{
		ID: c.Event.ID, Subject: c.Event.SystemID, Version: c.Event.Version, Time: c.Event.Time, Data: data,
		Type: string(changed.ProtoReflect().Descriptor().FullName()) + "." + strings.ToLower(string(c.Event.Type)),
	}, nil
}

func actorProto(a Actor) *securitysystemv1.Actor {
	return &securitysystemv1.Actor{Id: a.ID, Name: a.Name, ClientId: a.ClientID}
}

// The names in the contract are those of the domain.

func stateProto(s State) securitysystemv1.State {
	return securitysystemv1.State(securitysystemv1.State_value[string(s)])
}

func modeProto(m Mode) securitysystemv1.Mode {
	return securitysystemv1.Mode(securitysystemv1.Mode_value[string(m)])
}

func alarmProto(a AlarmKind) securitysystemv1.AlarmKind {
	return securitysystemv1.AlarmKind(securitysystemv1.AlarmKind_value[string(a)])
}

func faultsProto(faults []Fault) []securitysystemv1.Fault {
	var list []securitysystemv1.Fault
	for _, f := range faults {
		list = append(list, securitysystemv1.Fault(securitysystemv1.Fault_value[string(f)]))
	}
	return list
}

// modeOf returns AWAY where nothing else was asked for.
func modeOf(m securitysystemv1.Mode) Mode {
	if m == securitysystemv1.Mode_MODE_UNSPECIFIED {
		return Away
	}
	return Mode(m.String())
}
