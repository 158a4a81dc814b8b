package securitysystem

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	disarmed     = System{State: Disarmed}
	armedAway    = System{State: Armed, Mode: Away}
	alarmed      = System{State: Alarmed, Mode: Away, Alarm: Intrusion}
	acknowledged = System{State: Alarmed, Mode: Away, Alarm: Intrusion, Acknowledged: true}
)

func TestSystemSteps(t *testing.T) {
	arm := func(m Mode) func(System) (System, bool, error) {
		return func(s System) (System, bool, error) { return s.Arm(m) }
	}
	raise := func(k AlarmKind) func(System) (System, bool, error) {
		return func(s System) (System, bool, error) { next, err := s.Raise(k); return next, err == nil, err }
	}
	report := func(f ...Fault) func(System) (System, bool, error) {
		return func(s System) (System, bool, error) { next, changed := s.Report(f); return next, changed, nil }
	}
	faulty := System{State: Armed, Mode: Away, Faults: []Fault{LowBattery, Offline}}

	tests := []struct {
		name string
		from System
		step func(System) (System, bool, error)
		// want is the system after it, when it changes; err why it is refused; neither: nothing changes.
		want *System
		err  error
	}{
		{"a disarmed system is armed in the mode asked for", disarmed, arm(Stay), &System{State: Armed, Mode: Stay}, nil},
		{"arming again in the same mode changes nothing", armedAway, arm(Away), nil, nil},
		{"arming in another mode is refused", armedAway, arm(Night), nil, errArmed},
		{"arming an alarmed system is refused", alarmed, arm(Away), nil, errAlarmed},
		{"an armed system is disarmed", armedAway, System.Disarm, &disarmed, nil},
		{"disarming ends an alarm", acknowledged, System.Disarm, &disarmed, nil},
		{"disarming a disarmed system changes nothing", disarmed, System.Disarm, nil, nil},
		{"an alarm is acknowledged and stays", alarmed, System.Acknowledge, &acknowledged, nil},
		{"acknowledging again changes nothing", acknowledged, System.Acknowledge, nil, nil},
		{"there is nothing to acknowledge while armed", armedAway, System.Acknowledge, nil, errNotAlarmed},
		{"there is nothing to acknowledge while disarmed", disarmed, System.Acknowledge, nil, errNotAlarmed},
		{"an intrusion alarms an armed system, which stays armed as it was", armedAway, raise(Intrusion), &alarmed, nil},
		{"an intrusion into a disarmed system is refused", disarmed, raise(Intrusion), nil, errDisarmed},
		{"panic alarms a disarmed system", disarmed, raise(Panic), &System{State: Alarmed, Alarm: Panic}, nil},
		{"tamper alarms a disarmed system", disarmed, raise(Tamper), &System{State: Alarmed, Alarm: Tamper}, nil},
		{"fire alarms a disarmed system", disarmed, raise(Fire), &System{State: Alarmed, Alarm: Fire}, nil},
		{"a worse alarm replaces the one before", alarmed, raise(Fire), &System{State: Alarmed, Mode: Away, Alarm: Fire}, nil},
		{"a lesser alarm keeps the one before, and asks to be acknowledged", acknowledged, raise(Tamper), &alarmed, nil},
		{"faults are sorted and counted once", armedAway, report(Offline, LowBattery, Offline), &faulty, nil},
		{"the same faults in another order change nothing", faulty, report(Offline, LowBattery), nil, nil},
		{"faults are replaced, not added to", faulty, report(), &armedAway, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := test.from
			got, changed, err := test.step(test.from)
			if err != test.err {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if changed != (test.want != nil) {
				t.Fatalf("changed %v, want %v", changed, !changed)
			}
			want := test.from
			if test.want != nil {
				want = *test.want
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, test.from); diff != "" {
				t.Error("the system it started from was changed:", diff)
			}
		})
	}
}

func TestOnlyADisarmedSystemIsRemovable(t *testing.T) {
	for _, s := range []System{armedAway, alarmed} {
		if s.Removable() != errNotDisarmed {
			t.Errorf("%v is removable", s.State)
		}
	}
	if err := disarmed.Removable(); err != nil {
		t.Error(err)
	}
}

// Every action that a system accepts changes it, and no other one does.
func TestASystemAcceptsWhatChangesIt(t *testing.T) {
	steps := map[Action]func(System) (System, bool, error){
		Arm: func(s System) (System, bool, error) { return s.Arm(Away) }, Disarm: System.Disarm, Acknowledge: System.Acknowledge,
	}
	for _, s := range []System{disarmed, armedAway, alarmed, acknowledged} {
		for _, a := range actions {
			if _, changed, _ := steps[a](s); changed != s.Accepts(a) {
				t.Errorf("%v (acknowledged %v) accepts %v: %v, but it changes: %v", s.State, s.Acknowledged, a, s.Accepts(a), changed)
			}
		}
	}
}

func TestAStepHasTheNextVersionAndAnEvent(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	alice, panel := Actor{ID: "u-alice", Name: "Alice", ClientID: "web"}, Actor{ID: "panel_1", ClientID: "panel_1"}
	before := System{ID: "sys_1", State: Alarmed, Alarm: Fire, Version: 4, UpdateTime: early, UpdatedBy: panel}

	t.Run("a change of state says who made it", func(t *testing.T) {
		after, _, _ := before.Disarm()
		got := step(before, after, cause{eventID: "evt_1", kind: SystemDisarmed, actor: alice, time: late})
		want := Change{Before: before,
			After: System{ID: "sys_1", State: Disarmed, Version: 5, UpdateTime: late, UpdatedBy: alice},
			Event: Event{ID: "evt_1", SystemID: "sys_1", Version: 5, Type: SystemDisarmed, Time: late, Actor: alice, State: Disarmed}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("an acknowledgement leaves the last change of state as it was", func(t *testing.T) {
		after, _, _ := before.Acknowledge()
		got := step(before, after, cause{kind: AlarmAcknowledged, actor: alice, time: late}).After
		if got.UpdateTime != early || got.UpdatedBy != panel || got.Version != 5 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("an event names the alarm that was raised, not the worse one before", func(t *testing.T) {
		after, _ := before.Raise(Tamper)
		got := step(before, after, cause{kind: AlarmRaised, raised: Tamper, actor: panel, time: late})
		if got.Event.Alarm != Tamper || got.After.Alarm != Fire {
			t.Errorf("event says %v, system %v", got.Event.Alarm, got.After.Alarm)
		}
	})
}
