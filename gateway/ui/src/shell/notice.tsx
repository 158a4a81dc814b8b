import type { ReactNode } from "react";
import type { Problem } from "../api/request";
import { inWords } from "../api/words";
import { WarningIcon } from "./icons";

interface NoticeProps {
  tone: "problem" | "alarm" | "info";
  children: ReactNode;
  /** Buttons or links. */
  actions?: ReactNode;
}

/** Notice interrupts the page with something the person should know. */
export function Notice({ tone, children, actions }: NoticeProps) {
  return (
    <div className="notice" data-tone={tone} role={tone === "info" ? "status" : "alert"}>
      <WarningIcon />
      <div className="notice-text">{children}</div>
      {actions && <div className="notice-actions">{actions}</div>}
    </div>
  );
}

/** ProblemNotice tells of a failed call in words, with a way to try again when there is one. */
export function ProblemNotice({ problem, again }: { problem: Problem; again?: (() => void) | undefined }) {
  const retry = again && (
    <button type="button" className="button" onClick={again}>
      Try again
    </button>
  );
  return (
    <Notice tone="problem" actions={retry}>
      <p>{inWords(problem)}</p>
      {problem.status >= 500 && problem.requestId && (
        <p className="notice-number">
          Number for support: <code>{problem.requestId}</code>
        </p>
      )}
    </Notice>
  );
}
