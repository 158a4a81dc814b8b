import { useCallback } from "react";
import { getSystem, type Change, type System } from "../api/systems";
import { Link } from "../router";
import { BackIcon } from "../shell/icons";
import { NotFoundPage } from "../shell/notfound";
import { ProblemNotice } from "../shell/notice";
import { Page } from "../shell/page";
import { Ago } from "../shell/when";
import { Actions } from "./actions";
import { Faults } from "./faults";
import { StateMark, StateText } from "./state";
import { Timeline } from "./timeline";
import { useChanges } from "./useChanges";
import { useWatched } from "./useWatched";
import { modeWords, nameOf } from "./words";

/** SystemPage shows one system with what happened to it. */
export function SystemPage({ id }: { id: string }) {
  const load = useCallback(async (signal: AbortSignal) => [await getSystem(id, signal)], [id]);
  const { data, problem, reload, replace } = useWatched(load, applied);
  const system = data?.[0];
  useChanges(data);

  if (problem?.status === 404) return <NotFoundPage what="system" />;
  const changed = (newer: System) => replace(() => [newer]);
  return (
    <Page title={system?.location ?? "Security system"} above={<Back />}>
      {problem && <ProblemNotice problem={problem} again={reload} />}
      {!system && !problem && <div className="card system-card skeleton" role="status" aria-label="Loading the system" />}
      {system && (
        <div className="detail">
          <section className="card system-card" data-state={system.state} aria-label="State">
            <div className="system-head">
              <StateMark state={system.state} />
              <StateText system={system} />
            </div>
            <Faults faults={system.faults} />
            <Actions system={system} onChanged={changed} onStale={reload} />
            <Facts system={system} />
          </section>
          <Timeline systemId={id} revision={system.etag} />
        </div>
      )}
    </Page>
  );
}

/** Other systems change nothing here. That this one is gone is for the server to say. */
function applied(shown: System[], change: Change): System[] | undefined {
  const id = shown[0]?.id;
  if (change.removed === id) return undefined;
  return change.system?.id === id && change.system ? [change.system] : shown;
}

function Facts({ system }: { system: System }) {
  return (
    <dl className="facts">
      <div>
        <dt>Mode</dt>
        <dd>{system.mode ? `${modeWords[system.mode].name}: ${modeWords[system.mode].meaning.toLowerCase()}` : "Not armed"}</dd>
      </div>
      {system.updated && (
        <div>
          <dt>Last change</dt>
          <dd>
            {nameOf(system.updated.by)}, <Ago time={system.updated.time} />
          </dd>
        </div>
      )}
      <div>
        <dt>Faults</dt>
        <dd>{system.faults.length === 0 ? "None" : system.faults.length}</dd>
      </div>
      <div>
        <dt>System number</dt>
        <dd>
          <code>{system.id}</code>
        </dd>
      </div>
    </dl>
  );
}

function Back() {
  return (
    <Link to="/" className="back">
      <BackIcon />
      All systems
    </Link>
  );
}
