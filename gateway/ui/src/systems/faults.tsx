import type { Fault } from "../api/systems";
import { WarningIcon } from "../shell/icons";
import { faultWords } from "./words";

export function Faults({ faults }: { faults: readonly Fault[] }) {
  if (faults.length === 0) return null;
  return (
    <ul className="faults" aria-label="Faults">
      {faults.map((fault) => (
        <li key={fault}>
          <WarningIcon />
          {faultWords[fault]}
        </li>
      ))}
    </ul>
  );
}
