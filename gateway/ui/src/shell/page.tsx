import { useEffect, type ReactNode } from "react";

interface PageProps {
  /** The heading and the window's title. */
  title: string;
  /** Shown above the heading, such as the way back. */
  above?: ReactNode;
  /** Shown under the heading. */
  lead?: ReactNode;
  children: ReactNode;
}

/** Page is the main landmark of one address. */
export function Page({ title, above, lead, children }: PageProps) {
  useEffect(() => {
    document.title = title === "RealGuardIO" ? title : `${title} · RealGuardIO`;
  }, [title]);
  return (
    <main id="main" className="page">
      {above}
      <h1 tabIndex={-1}>{title}</h1>
      {lead && <div className="lead">{lead}</div>}
      {children}
    </main>
  );
}
