import { useEffect, useRef, type ReactNode } from "react";

interface PageProps {
  /** The heading and the window's title. */
  title: string;
  /** Shown above the heading, such as the way back. */
  above?: ReactNode;
  /** Shown under the heading. */
  lead?: ReactNode;
  children: ReactNode;
}

/** The path at which the application was entered; there, the browser puts the focus. */
let entered = true;

/** Page is the main landmark of one address. Arriving at it from another moves the focus to its heading. */
export function Page({ title, above, lead, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === "RealGuardIO" ? title : `${title} · RealGuardIO`;
  }, [title]);
  useEffect(() => {
    if (!entered) heading.current?.focus({ preventScroll: true });
    entered = false;
  }, []);
  return (
    <main id="main" className="page">
      {above}
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {lead && <div className="lead">{lead}</div>}
      {children}
    </main>
  );
}
