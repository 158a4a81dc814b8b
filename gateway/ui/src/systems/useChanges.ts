import { useEffect, useRef } from "react";
import type { System } from "../api/systems";
import { useAnnounce } from "../live/announcer";
import { spoken } from "./words";

/** useChanges has screen readers told of every system whose state differs from what was shown before. */
export function useChanges(systems: readonly System[] | undefined): void {
  const announce = useAnnounce();
  const before = useRef(new Map<string, string>());
  useEffect(() => {
    if (!systems) return;
    const now = new Map(systems.map((system) => [system.id, spoken(system)]));
    const changed = [...now].filter(([id, words]) => before.current.has(id) && before.current.get(id) !== words);
    before.current = now;
    if (changed.length > 0) announce(changed.map(([, words]) => words).join(" "));
  }, [systems, announce]);
}
