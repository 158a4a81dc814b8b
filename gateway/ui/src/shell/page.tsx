import { useEffect, type ReactNode } from "react";

interface PageProps {
  /** The heading, and the window's title unless that is given. */
  title: string;
  windowTitle?: string;
  /** Shown above the heading, such as the way back. */
  above?: ReactNode;
  /** Shown under the heading. */
  lead?: ReactNode;
  children: ReactNode;
}

/** Page is the main landmark of one address. */
export function Page({ title, windowTitle = `${title} · RealGuardIO`, above, lead, children }: PageProps) {
  useEffect(() => {
    document.title = windowTitle;
  }, [windowTitle]);
  return (
    <main id="main" className="page">
      {above}
      <h1 tabIndex={-1}>{title}</h1>
      {lead && <div className="lead">{lead}</div>}
      {children}
    </main>
  );
}
