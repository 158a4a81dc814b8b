import type { EventType, TimelineEvent } from "../api/systems";
import { EyeIcon, MinusIcon, PlugIcon, PlusIcon, ShieldCheckIcon, ShieldIcon, ShieldOffIcon, SirenIcon, WarningIcon } from "../shell/icons";
import { ProblemNotice } from "../shell/notice";
import { Clock, dayInWords } from "../shell/when";
import { useTimeline } from "./useTimeline";
import { eventInWords, nameOf, throughWhat } from "./words";

const looks: Record<EventType, { icon: typeof ShieldIcon; state: string }> = {
  SYSTEM_CREATED: { icon: PlusIcon, state: "DISARMED" },
  SYSTEM_ARMED: { icon: ShieldCheckIcon, state: "ARMED" },
  SYSTEM_DISARMED: { icon: ShieldOffIcon, state: "DISARMED" },
  ALARM_RAISED: { icon: SirenIcon, state: "ALARMED" },
  ALARM_ACKNOWLEDGED: { icon: EyeIcon, state: "DISARMED" },
  FAULTS_CHANGED: { icon: WarningIcon, state: "FAULT" },
  PANEL_REGISTERED: { icon: PlugIcon, state: "DISARMED" },
  SYSTEM_REMOVED: { icon: MinusIcon, state: "DISARMED" },
};

/** Timeline tells what happened to a system, newest first, and who did it. */
export function Timeline({ systemId, revision }: { systemId: string; revision: string | undefined }) {
  const { events, problem, more, busy } = useTimeline(systemId, revision);
  const days = Map.groupBy(events ?? [], (event) => dayInWords(event.time));
  return (
    <section className="card timeline" aria-labelledby="timeline-title">
      <h2 id="timeline-title">Timeline</h2>
      {problem && <ProblemNotice problem={problem} />}
      {events?.length === 0 && <p className="muted">Nothing has happened yet.</p>}
      {[...days].map(([day, of]) => (
        <div key={day} className="timeline-day">
          <h3>{day}</h3>
          <ol>
            {of.map((event) => (
              <Entry key={event.id} event={event} />
            ))}
          </ol>
        </div>
      ))}
      {more && (
        <button type="button" className="button more" onClick={more} aria-disabled={busy} data-busy={busy || undefined}>
          Show earlier events
        </button>
      )}
    </section>
  );
}

function Entry({ event }: { event: TimelineEvent }) {
  const look = event.type && looks[event.type];
  const Icon = look?.icon ?? ShieldIcon;
  const through = throughWhat(event.actor);
  return (
    <li className="entry">
      <span className="state-mark small" data-state={look?.state}>
        <Icon />
      </span>
      <div className="entry-text">
        <p className="entry-what">{eventInWords(event)}</p>
        {event.detail && <p>{event.detail}</p>}
        <p className="muted">
          by <strong>{nameOf(event.actor)}</strong>
          {through && <> through {through}</>}
        </p>
      </div>
      <Clock time={event.time} />
    </li>
  );
}
