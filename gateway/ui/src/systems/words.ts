import type { Actor, Alarm, Fault, Mode, State, System, TimelineEvent } from "../api/systems";

export const modeWords: Record<Mode, { name: string; meaning: string }> = {
  AWAY: { name: "Away", meaning: "Nobody is in" },
  STAY: { name: "Stay", meaning: "People are in and move about" },
  NIGHT: { name: "Night", meaning: "People are in and asleep" },
};

export const stateWords: Record<State, string> = { DISARMED: "Disarmed", ARMED: "Armed", ALARMED: "Alarm" };

export const faultWords: Record<Fault, string> = {
  LOW_BATTERY: "Battery low",
  OFFLINE: "Panel offline",
  TAMPERED: "Tampered with",
};

export const alarmWords: Record<Alarm, string> = {
  INTRUSION: "Intrusion",
  PANIC: "Panic",
  TAMPER: "Tampering",
  FIRE: "Fire",
};

/** "Armed · Away", "Alarm · Fire", "Disarmed" */
export function stateInWords(system: System): string {
  if (!system.state) return "Unknown state";
  const more = system.state === "ARMED" ? system.mode && modeWords[system.mode].name : alarmOf(system);
  return more ? `${stateWords[system.state]} · ${more}` : stateWords[system.state];
}

function alarmOf(system: System): string | undefined {
  return system.state === "ALARMED" && system.alarm ? alarmWords[system.alarm] : undefined;
}

/** What a screen reader says when a system has changed: "Oakland: armed, away." */
export function spoken(system: System): string {
  const acknowledged = system.state === "ALARMED" && system.acknowledged ? ", acknowledged" : "";
  return `${system.location}: ${stateInWords(system).replace(" · ", ", ").toLowerCase()}${acknowledged}.`;
}

/** "Mary Miller", "API key rgk_1a2b", "Alarm panel" */
export function nameOf(actor: Actor): string {
  if (actor.name) return actor.name;
  if (actor.id.startsWith("rgk_")) return `API key ${actor.id.slice(0, 12)}`;
  if (actor.id.startsWith("panel_")) return "Alarm panel";
  return actor.id || "Unknown";
}

const clients: Record<string, string> = {
  "realguardio-web": "the web app",
  "realguardio-cli": "the command line",
};

/** Through what somebody acted, for "through ..."; empty when that goes without saying. */
export function throughWhat(actor: Actor): string {
  if (!actor.clientId || actor.clientId === actor.id) return "";
  return clients[actor.clientId] ?? actor.clientId;
}

/** What happened, for "... by Mary Miller". */
export function eventInWords(event: TimelineEvent): string {
  switch (event.type) {
    case "SYSTEM_CREATED":
      return "System installed";
    case "SYSTEM_ARMED":
      return event.mode ? `Armed · ${modeWords[event.mode].name}` : "Armed";
    case "SYSTEM_DISARMED":
      return "Disarmed";
    case "ALARM_RAISED":
      return event.alarm ? `Alarm · ${alarmWords[event.alarm]}` : "Alarm";
    case "ALARM_ACKNOWLEDGED":
      return "Alarm acknowledged";
    case "FAULTS_CHANGED":
      return event.faults.length ? `Fault · ${event.faults.map((each) => faultWords[each]).join(", ")}` : "Faults cleared";
    case "PANEL_REGISTERED":
      return "Panel connected";
    case "SYSTEM_REMOVED":
      return "System removed";
    default:
      return "Something happened";
  }
}
