import { useEffect, useRef } from "react";
import { AuthProvider, useAuth } from "./auth/session";
import { Announcer } from "./live/announcer";
import { NotificationsPage } from "./notifications/page";
import { usePath } from "./router";
import { Header } from "./shell/header";
import { NotFoundPage } from "./shell/notfound";
import { Notice } from "./shell/notice";
import { Page } from "./shell/page";
import { SystemPage } from "./systems/detail";
import { SystemsPage } from "./systems/list";
import { WelcomePage } from "./welcome/page";

export function App() {
  return (
    <AuthProvider>
      <Announcer>
        <Shell />
      </Announcer>
    </AuthProvider>
  );
}

function Shell() {
  const { standing } = useAuth();
  return (
    <>
      <Header person={standing.kind === "signedIn" ? standing.person : undefined} />
      <Content />
      <footer className="footer">
        <span>RealGuardIO</span>
        <a href="/api/docs">API</a>
      </footer>
    </>
  );
}

/** Content decides by who is asking; what they may see is decided by the server alone. */
function Content() {
  const { standing } = useAuth();
  switch (standing.kind) {
    case "asking":
      return <main id="main" className="page" aria-busy="true" />;
    case "unknown":
      return <Unreachable retry={standing.retry} />;
    case "anonymous":
      return <WelcomePage ended={standing.ended} />;
    case "signedIn":
      return <Routes />;
  }
}

function Routes() {
  const path = usePath();
  useFocusOnArrival(path);
  const system = /^\/systems\/([^/]+)$/.exec(path)?.[1];
  if (path === "/") return <SystemsPage />;
  if (path === "/notifications") return <NotificationsPage />;
  if (system) return <SystemPage key={system} id={decoded(system)} />;
  return <NotFoundPage key={path} />;
}

/** Going from one page to another puts the focus on the new heading, as loading a page would: else it stays on nothing. */
function useFocusOnArrival(path: string): void {
  const last = useRef(path);
  useEffect(() => {
    if (last.current !== path) document.querySelector("h1")?.focus({ preventScroll: true });
    last.current = path;
  }, [path]);
}

/** A path that is no valid encoding names no system: asked for as it stands, it is not found. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function Unreachable({ retry }: { retry: () => void }) {
  const again = (
    <button type="button" className="button" onClick={retry}>
      Try again
    </button>
  );
  return (
    <Page title="One moment, please">
      <Notice tone="problem" actions={again}>
        RealGuardIO cannot be reached at the moment. You are not signed out; this page will try again by itself.
      </Notice>
    </Page>
  );
}
