import { useCallback, useEffect, useRef, useState } from "react";
import { Problem } from "../api/request";
import { useAuth } from "../auth/session";

export interface Polled<T> {
  /** The last answer; it stays while a later call fails. */
  data: T | undefined;
  problem: Problem | undefined;
  /** Asks now instead of at the next turn. */
  reload: () => void;
  /** Changes data by something that is newer than any answer still under way. */
  replace: (change: (data: T) => T) => void;
}

const slowest = 30_000;

/**
 * usePolled calls load now and then every so many milliseconds while the page is visible. Failures make it slower.
 * load must be stable between renders (useCallback); a different one is called at once, and its answer replaces the last.
 */
export function usePolled<T>(load: (signal: AbortSignal) => Promise<T>, every: number): Polled<T> {
  const { sessionEnded } = useAuth();
  const [state, setState] = useState<{ data?: T; problem?: Problem }>({});
  const restart = useRef(() => {});

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let abort = new AbortController();
    let failures = 0;

    const turn = async () => {
      clearTimeout(timer);
      abort.abort();
      abort = new AbortController();
      const { signal } = abort;
      let wait = every;
      try {
        const data = await load(signal);
        if (signal.aborted) return;
        failures = 0;
        setState({ data });
      } catch (cause) {
        if (signal.aborted) return;
        const problem = cause instanceof Problem ? cause : new Problem(0, "UNREADABLE", "", "");
        if (problem.status === 401) return sessionEnded();
        failures += 1;
        wait = Math.max(problem.retryAfter * 1000, Math.min(every * 2 ** failures, slowest));
        setState((last) => ({ ...last, problem }));
      }
      if (!document.hidden) timer = setTimeout(turn, wait);
    };
    const visible = () => {
      if (!document.hidden) void turn();
      else clearTimeout(timer);
    };

    restart.current = () => void turn();
    document.addEventListener("visibilitychange", visible);
    window.addEventListener("online", visible);
    void turn();
    return () => {
      clearTimeout(timer);
      abort.abort();
      document.removeEventListener("visibilitychange", visible);
      window.removeEventListener("online", visible);
    };
  }, [load, every, sessionEnded]);

  const reload = useCallback(() => restart.current(), []);
  const replace = useCallback((change: (data: T) => T) => {
    setState((last) => (last.data === undefined ? last : { data: change(last.data) }));
    restart.current();
  }, []);
  return { data: state.data, problem: state.problem, reload, replace };
}
