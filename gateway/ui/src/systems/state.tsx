import type { State, System } from "../api/systems";
import { ShieldCheckIcon, ShieldIcon, ShieldOffIcon, SirenIcon } from "../shell/icons";
import { stateInWords } from "./words";

const icons: Record<State, typeof ShieldIcon> = {
  DISARMED: ShieldOffIcon,
  ARMED: ShieldCheckIcon,
  ALARMED: SirenIcon,
};

/** StateMark shows a state by shape and colour; the words stand beside it. */
export function StateMark({ state }: { state: State | undefined }) {
  const Icon = state ? icons[state] : ShieldIcon;
  return (
    <span className="state-mark" data-state={state}>
      <Icon />
    </span>
  );
}

export function StateText({ system }: { system: System }) {
  return (
    <p className="state-text" data-state={system.state}>
      {stateInWords(system)}
      {system.state === "ALARMED" && (
        <span className="state-more">{system.acknowledged ? "Acknowledged" : "Nobody has acknowledged it yet"}</span>
      )}
    </p>
  );
}
