import { useCallback, useEffect, useMemo, useState } from "react";
import { customerNames } from "../api/customers";
import { listSystems, type Change, type Page as PageOf, type System } from "../api/systems";
import { ShieldIcon } from "../shell/icons";
import { Notice, ProblemNotice } from "../shell/notice";
import { Page } from "../shell/page";
import { Card } from "./card";
import { useChanges } from "./useChanges";
import { useWatched } from "./useWatched";
import { alarmWords } from "./words";

/** SystemsPage is home for who is signed in: the systems the person may see, those in alarm first. */
export function SystemsPage() {
  const [pages, setPages] = useState(1);
  const load = useCallback((signal: AbortSignal) => loadPages(pages, signal), [pages]);
  const { data, problem, reload, replace } = useWatched(load, applied);
  const names = useCustomerNames();
  useChanges(data?.items);

  const groups = useMemo(() => groupByCustomer(data?.items ?? [], names), [data, names]);
  const changed = (system: System) =>
    replace((last) => ({ ...last, items: last.items.map((each) => (each.id === system.id ? system : each)) }));

  return (
    <Page title="Security systems" lead={data && data.items.length > 0 && <Summary systems={data.items} />}>
      {problem && <ProblemNotice problem={problem} again={reload} />}
      <Alarms systems={data?.items ?? []} />
      {!data && !problem && <Loading />}
      {data?.items.length === 0 && <Empty />}
      {groups.map(({ customer, systems }) => (
        <section key={customer} className="group" aria-label={names.get(customer) || "Systems"}>
          {names.get(customer) && <h2>{names.get(customer)}</h2>}
          <div className="cards">
            {systems.map((system) => (
              <Card key={system.id} system={system} onChanged={changed} onStale={reload} />
            ))}
          </div>
        </section>
      ))}
      {data?.next && (
        <button type="button" className="button more" onClick={() => setPages((n) => n + 1)}>
          Show more
        </button>
      )}
    </Page>
  );
}

/** A system that is not in the list may belong on any of its pages. */
function applied(shown: PageOf<System>, change: Change): PageOf<System> | undefined {
  const { system, removed } = change;
  if (removed) return { ...shown, items: shown.items.filter((each) => each.id !== removed) };
  if (!system || !shown.items.some((each) => each.id === system.id)) return undefined;
  return { ...shown, items: shown.items.map((each) => (each.id === system.id ? system : each)) };
}

async function loadPages(count: number, signal: AbortSignal): Promise<PageOf<System>> {
  let all: PageOf<System> = { items: [], next: "" };
  for (let n = 0; n < count; n++) {
    const page = await listSystems(all.next, signal);
    all = { items: [...all.items, ...page.items], next: page.next };
    if (!page.next) break;
  }
  return all;
}

/** Names are an ornament: without them the systems are still shown. */
function useCustomerNames(): ReadonlyMap<string, string> {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  useEffect(() => {
    const abort = new AbortController();
    customerNames(abort.signal).then(setNames, () => {});
    return () => abort.abort();
  }, []);
  return names;
}

function groupByCustomer(systems: readonly System[], names: ReadonlyMap<string, string>) {
  const groups = Map.groupBy(systems, (system) => system.customerId);
  return [...groups]
    .map(([customer, of]) => ({ customer, systems: of.toSorted((a, b) => urgency(b) - urgency(a)) }))
    .sort((a, b) => (names.get(a.customer) ?? "").localeCompare(names.get(b.customer) ?? ""));
}

function urgency(system: System): number {
  return system.state === "ALARMED" ? 1 : 0;
}

function Summary({ systems }: { systems: readonly System[] }) {
  const count = (state: System["state"]) => systems.filter((system) => system.state === state).length;
  const faulty = systems.filter((system) => system.faults.length > 0).length;
  return (
    <ul className="summary" aria-label="At a glance">
      {count("ALARMED") > 0 && <li data-state="ALARMED">{count("ALARMED")} in alarm</li>}
      <li data-state="ARMED">{count("ARMED")} armed</li>
      <li data-state="DISARMED">{count("DISARMED")} disarmed</li>
      {faulty > 0 && <li data-state="FAULT">{faulty} with faults</li>}
    </ul>
  );
}

function Alarms({ systems }: { systems: readonly System[] }) {
  const alarmed = systems.filter((system) => system.state === "ALARMED" && !system.acknowledged);
  if (alarmed.length === 0) return null;
  const words = alarmed.map((system) => `${system.location}${system.alarm ? ` (${alarmWords[system.alarm].toLowerCase()})` : ""}`);
  return (
    <Notice tone="alarm">
      <p>
        <strong>Alarm at {new Intl.ListFormat(undefined).format(words)}.</strong> Nobody has acknowledged it yet.
      </p>
    </Notice>
  );
}

function Loading() {
  return (
    <div className="cards" role="status" aria-label="Loading the systems">
      {[1, 2, 3].map((n) => (
        <div key={n} className="card system-card skeleton" />
      ))}
    </div>
  );
}

function Empty() {
  return (
    <div className="empty">
      <ShieldIcon />
      <h2>No systems yet</h2>
      <p>Nobody has given you access to a security system. Ask an administrator of your company to do so.</p>
    </div>
  );
}
