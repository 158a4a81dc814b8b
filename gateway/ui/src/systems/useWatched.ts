import { useEffect, useRef } from "react";
import { changeOf, watchPath, type Change } from "../api/systems";
import { useLive } from "../live/useLive";
import { usePolled, type Polled } from "../live/usePolled";

// Asking is what keeps the page right while nothing can be heard; it goes on slowly while changes are told.
const unheard = 3_000;
const heard = 15_000;

/**
 * useWatched is usePolled with changes shown as they happen. apply returns data with a change, or undefined when it does not
 * know what the change means: then everything is loaded again.
 */
export function useWatched<T>(load: (signal: AbortSignal) => Promise<T>, apply: (data: T, change: Change) => T | undefined): Polled<T> {
  const polled = useRef<Polled<T>>(undefined);
  const live = useLive(watchPath, (data) => {
    const change = changeOf(data);
    if (!change.listAgain && !change.system && !change.removed) return;
    const shown = polled.current?.data;
    const next = change.listAgain || shown === undefined ? undefined : apply(shown, change);
    if (next === undefined) polled.current?.reload();
    else if (next !== shown) polled.current?.replace(() => next);
  });
  const result = usePolled(load, live ? heard : unheard);
  useEffect(() => {
    polled.current = result;
  });
  return result;
}
