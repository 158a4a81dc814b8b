import { useEffect, useRef, useState } from "react";
import { Problem } from "../api/request";
import { act, type Action, type Mode, type System } from "../api/systems";
import { useAuth } from "../auth/session";
import { AwayIcon, EyeIcon, NightIcon, ShieldOffIcon, StayIcon } from "../shell/icons";
import { ProblemNotice } from "../shell/notice";
import { modeWords } from "./words";

interface ActionsProps {
  system: System;
  /** Called with the system as it is after an action. */
  onChanged: (system: System) => void;
  /** Called when the system turned out to be another than shown. */
  onStale: () => void;
}

const modeIcons: Record<Mode, typeof AwayIcon> = { AWAY: AwayIcon, STAY: StayIcon, NIGHT: NightIcon };
const modes: readonly Mode[] = ["AWAY", "STAY", "NIGHT"];

/** Actions offers what the server says this person may do to the system as it is now, and nothing else. */
export function Actions({ system, onChanged, onStale }: ActionsProps) {
  const { busy, problem, done, perform } = useAction(system, onChanged, onStale);
  const region = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that was pressed has given way to others: without this the focus would be nowhere.
    if (done > 0 && document.activeElement === document.body) {
      (region.current?.querySelector("button") ?? region.current)?.focus();
    }
  }, [done]);

  const may = (action: Action) => system.allowedActions.includes(action);
  const button = (key: string, click: () => void) => ({
    type: "button" as const,
    onClick: () => busy === undefined && click(),
    "aria-disabled": busy !== undefined,
    "data-busy": busy === key || undefined,
  });

  return (
    <div ref={region} className="actions" tabIndex={-1} aria-busy={busy !== undefined}>
      {problem && <ProblemNotice problem={problem} />}
      {may("ARM") && (
        <div className="modes" role="group" aria-label={`Arm ${system.location}`}>
          <span className="modes-label">Arm</span>
          {modes.map((mode) => {
            const Icon = modeIcons[mode];
            return (
              <button
                key={mode}
                className="button"
                title={modeWords[mode].meaning}
                {...button(mode, () => perform("ARM", mode))}
              >
                <Icon />
                <span className="visually-hidden">Arm {system.location}: </span>
                {modeWords[mode].name}
              </button>
            );
          })}
        </div>
      )}
      {may("ACKNOWLEDGE") && (
        <button className="button" {...button("ACKNOWLEDGE", () => perform("ACKNOWLEDGE"))}>
          <EyeIcon />
          Acknowledge<span className="visually-hidden"> {system.location}</span>
        </button>
      )}
      {may("DISARM") && (
        <button
          className={system.state === "ALARMED" ? "button danger" : "button primary"}
          {...button("DISARM", () => perform("DISARM"))}
        >
          <ShieldOffIcon />
          Disarm<span className="visually-hidden"> {system.location}</span>
        </button>
      )}
      {system.allowedActions.length === 0 && <p className="actions-none">You may view this system.</p>}
    </div>
  );
}

function useAction(system: System, onChanged: (system: System) => void, onStale: () => void) {
  const { sessionEnded } = useAuth();
  const [busy, setBusy] = useState<Mode | Action>();
  const [problem, setProblem] = useState<Problem>();
  /** How many actions have succeeded. */
  const [done, setDone] = useState(0);

  const perform = async (action: Action, mode?: Mode) => {
    setBusy(mode ?? action);
    setProblem(undefined);
    try {
      onChanged(await act(system, action, mode));
      setDone((n) => n + 1);
    } catch (cause) {
      const failed = cause instanceof Problem ? cause : new Problem(0, "UNREADABLE", "", "");
      if (failed.status === 401) return sessionEnded();
      setProblem(failed);
      onStale();
    } finally {
      setBusy(undefined);
    }
  };
  return { busy, problem, done, perform };
}
