import type { System } from "../api/systems";
import { Link } from "../router";
import { Ago } from "../shell/when";
import { Actions } from "./actions";
import { Faults } from "./faults";
import { StateMark, StateText } from "./state";
import { nameOf } from "./words";

interface CardProps {
  system: System;
  onChanged: (system: System) => void;
  onStale: () => void;
}

/** Card is one system in the list. */
export function Card({ system, onChanged, onStale }: CardProps) {
  const title = `system-${system.id}`;
  return (
    <article className="card system-card" data-state={system.state} aria-labelledby={title}>
      <div className="system-head">
        <StateMark state={system.state} />
        <div>
          <h3 id={title}>
            <Link to={`/systems/${encodeURIComponent(system.id)}`}>{system.location}</Link>
          </h3>
          <StateText system={system} />
        </div>
      </div>
      <Faults faults={system.faults} />
      {system.updated && (
        <p className="since">
          Changed by <strong>{nameOf(system.updated.by)}</strong>, <Ago time={system.updated.time} />
        </p>
      )}
      <Actions system={system} onChanged={onChanged} onStale={onStale} />
    </article>
  );
}
