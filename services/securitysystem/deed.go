package securitysystem

import "github.com/realguardio/realguardio/services/internal/audit"

// deeds are what the audit log calls what people and scripts do. What panels report is not among it: they do it all day, and
// it stands in the events of the system.
var deeds = map[EventType]string{
	SystemCreated: "system.create", SystemArmed: "system.arm", SystemDisarmed: "system.disarm",
	AlarmAcknowledged: "alarm.acknowledge", PanelRegistered: "panel.register", SystemRemoved: "system.remove",
}

// deedOf returns what the audit log has to say of a change; false for one that is nobody's deed. Who did it is the caller of
// the RPC.
func deedOf(c Change) (entry audit.Entry, ok bool) {
	action, ok := deeds[c.Event.Type]
	if !ok {
		return audit.Entry{}, false
	}
	details := map[string]string{"customer": c.After.CustomerID, "location": c.After.LocationID}
	switch c.Event.Type {
	case SystemArmed:
		details["mode"] = string(c.After.Mode)
	case PanelRegistered:
		details["panel"] = c.After.PanelClientID
	}
	return audit.Entry{Time: c.Event.Time, Action: action, Target: c.After.ID, Details: details}, true
}
