import type {
  ActionJson,
  ActorJson,
  AlarmKindJson,
  EventJson,
  EventTypeJson,
  FaultJson,
  ListEventsResponseJson,
  ListSecuritySystemsResponseJson,
  ModeJson,
  SecuritySystemJson,
  StateJson,
  WatchSecuritySystemsResponseJson,
} from "@gen/securitysystem/v1/securitysystem_pb";
import { request } from "./request";

export type State = Exclude<StateJson, "STATE_UNSPECIFIED">;
export type Mode = Exclude<ModeJson, "MODE_UNSPECIFIED">;
export type Action = Exclude<ActionJson, "ACTION_UNSPECIFIED">;
export type Fault = Exclude<FaultJson, "FAULT_UNSPECIFIED">;
export type Alarm = Exclude<AlarmKindJson, "ALARM_KIND_UNSPECIFIED">;
export type EventType = Exclude<EventTypeJson, "EVENT_TYPE_UNSPECIFIED">;

export interface Actor {
  id: string;
  /** Empty for callers that are no people. */
  name: string;
  clientId: string;
}

/** System is the alarm system of one location, as this person may see it and act on it. */
export interface System {
  id: string;
  customerId: string;
  location: string;
  /** Undefined when the server tells of a state this page is too old to know. */
  state: State | undefined;
  mode: Mode | undefined;
  alarm: Alarm | undefined;
  acknowledged: boolean;
  faults: Fault[];
  allowedActions: Action[];
  etag: string;
  updated: { time: Date; by: Actor } | undefined;
}

/** TimelineEvent is something that happened to a system. */
export interface TimelineEvent {
  id: string;
  type: EventType | undefined;
  time: Date;
  actor: Actor;
  mode: Mode | undefined;
  alarm: Alarm | undefined;
  faults: Fault[];
  detail: string;
}

export interface Page<T> {
  items: T[];
  /** Empty on the last page. */
  next: string;
}

/** Change is what the server tells while somebody watches. */
export interface Change {
  /** A system as it is now. */
  system: System | undefined;
  /** The id of a system that is not there any more. */
  removed: string | undefined;
  /** Anything may have changed. */
  listAgain: boolean;
}

const root = "/api/v1/securitysystems";

/** watchPath is where changes are sent as events. */
export const watchPath = `${root}:watch`;
const at = (id: string) => `${root}/${encodeURIComponent(id)}`;

export async function listSystems(pageToken: string, signal?: AbortSignal): Promise<Page<System>> {
  const query = new URLSearchParams({ pageSize: "200", ...(pageToken && { pageToken }) });
  const answer = await request<ListSecuritySystemsResponseJson>("GET", `${root}?${query}`, undefined, signal);
  return { items: (answer.securitySystems ?? []).map(systemOf), next: answer.nextPageToken ?? "" };
}

export async function getSystem(id: string, signal?: AbortSignal): Promise<System> {
  return systemOf(await request<SecuritySystemJson>("GET", at(id), undefined, signal));
}

/** act asks for an action on the system as it was shown: when it has changed since, the server refuses (409). */
export async function act(system: System, action: Action, mode?: Mode): Promise<System> {
  const body = { etag: system.etag, ...(mode && { mode }) };
  return systemOf(await request<SecuritySystemJson>("POST", `${at(system.id)}:${action.toLowerCase()}`, body));
}

export async function listEvents(id: string, pageToken: string, signal?: AbortSignal): Promise<Page<TimelineEvent>> {
  const query = new URLSearchParams({ pageSize: "20", ...(pageToken && { pageToken }) });
  const answer = await request<ListEventsResponseJson>("GET", `${at(id)}/events?${query}`, undefined, signal);
  return { items: (answer.events ?? []).map(eventOf), next: answer.nextPageToken ?? "" };
}

// JSON of protos leaves out what is empty, and an older page may meet newer enum values: from here on neither matters.
const states: readonly State[] = ["DISARMED", "ARMED", "ALARMED"];
const modes: readonly Mode[] = ["AWAY", "STAY", "NIGHT"];
const actions: readonly Action[] = ["ARM", "DISARM", "ACKNOWLEDGE"];
const faults: readonly Fault[] = ["LOW_BATTERY", "OFFLINE", "TAMPERED"];
const alarms: readonly Alarm[] = ["INTRUSION", "PANIC", "TAMPER", "FIRE"];
const eventTypes: readonly EventType[] = [
  "SYSTEM_CREATED",
  "SYSTEM_ARMED",
  "SYSTEM_DISARMED",
  "ALARM_RAISED",
  "ALARM_ACKNOWLEDGED",
  "FAULTS_CHANGED",
  "PANEL_REGISTERED",
  "SYSTEM_REMOVED",
];

export function changeOf(data: string): Change {
  const json = JSON.parse(data) as WatchSecuritySystemsResponseJson;
  return {
    system: json.securitySystem ? systemOf(json.securitySystem) : undefined,
    removed: json.removedSecuritySystemId,
    listAgain: json.listAgain ?? false,
  };
}

function known<T extends string>(all: readonly T[], value: string | undefined): T | undefined {
  return all.find((each) => each === value);
}

function systemOf(json: SecuritySystemJson): System {
  return {
    id: json.id ?? "",
    customerId: json.customerId ?? "",
    location: json.locationName || "Unnamed location",
    state: known(states, json.state),
    mode: known(modes, json.mode),
    alarm: known(alarms, json.alarm),
    acknowledged: json.acknowledged ?? false,
    faults: faults.filter((each) => json.faults?.includes(each)),
    allowedActions: actions.filter((each) => json.allowedActions?.includes(each)),
    etag: json.etag ?? "",
    updated: json.updateTime ? { time: new Date(json.updateTime), by: actorOf(json.updatedBy) } : undefined,
  };
}

function eventOf(json: EventJson): TimelineEvent {
  return {
    id: json.id ?? "",
    type: known(eventTypes, json.type),
    time: new Date(json.time ?? 0),
    actor: actorOf(json.actor),
    mode: known(modes, json.mode),
    alarm: known(alarms, json.alarm),
    faults: faults.filter((each) => json.faults?.includes(each)),
    detail: json.detail ?? "",
  };
}

function actorOf(json: ActorJson | undefined): Actor {
  return { id: json?.id ?? "", name: json?.name ?? "", clientId: json?.clientId ?? "" };
}
