import { useEffect, useState } from "react";
import { Problem } from "../api/request";
import { listEvents, type TimelineEvent } from "../api/systems";
import { useAuth } from "../auth/session";

export interface Timeline {
  /** Newest first; undefined until the first answer. */
  events: TimelineEvent[] | undefined;
  problem: Problem | undefined;
  /** Loads older ones; undefined when there are none. */
  more: (() => void) | undefined;
  busy: boolean;
}

/** useTimeline loads what happened to a system, and what is new whenever revision changes. */
export function useTimeline(id: string, revision: string | undefined): Timeline {
  const { sessionEnded } = useAuth();
  const [events, setEvents] = useState<TimelineEvent[]>();
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);

  const failed = (cause: unknown) => {
    const told = cause instanceof Problem ? cause : new Problem(0, "UNREADABLE", "", "");
    if (told.status === 401) sessionEnded();
    else setProblem(told);
  };

  useEffect(() => {
    if (revision === undefined) return;
    const abort = new AbortController();
    listEvents(id, "", abort.signal).then(
      (page) => {
        setProblem(undefined);
        setEvents((old) => {
          const joined = old && joinNewer(page.items, old);
          if (!joined) setNext(page.next);
          return joined ?? page.items;
        });
      },
      (cause) => abort.signal.aborted || failed(cause),
    );
    return () => abort.abort();
    // failed is made anew with each render but always does the same.
  }, [id, revision]);

  const loadOlder = () => {
    if (busy) return;
    setBusy(true);
    listEvents(id, next)
      .then((page) => {
        setProblem(undefined);
        setNext(page.next);
        setEvents((old = []) => [...old, ...page.items.filter((each) => !old.some((known) => known.id === each.id))]);
      })
      .catch(failed)
      .finally(() => setBusy(false));
  };
  return { events, problem, more: next ? loadOlder : undefined, busy };
}

/** Puts newer events before old ones; undefined when there may be some in between that are in neither. */
function joinNewer(newest: TimelineEvent[], old: TimelineEvent[]): TimelineEvent[] | undefined {
  const known = new Set(old.map((event) => event.id));
  const fresh = newest.filter((event) => !known.has(event.id));
  return fresh.length < newest.length ? [...fresh, ...old] : undefined;
}
