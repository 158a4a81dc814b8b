import { SessionProvider, signIn, useSession } from "next-auth/react";
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";

declare module "next-auth" {
  interface Session {
    user: { name: string; email: string; sub: string };
    roles: string[];
    expires: string;
  }
}

export interface Person {
  sub: string;
  name: string;
  email: string;
}

/** Standing is what is known about the visitor. "unknown" means that the gateway could not tell. */
export type Standing =
  | { kind: "asking" }
  | { kind: "unknown"; retry: () => void }
  | { kind: "anonymous"; ended: boolean }
  | { kind: "signedIn"; person: Person };

interface Auth {
  standing: Standing;
  /** Call it when the gateway answered 401: it asks for the session again and tells the person. */
  sessionEnded: () => void;
}

const AuthContext = createContext<Auth | undefined>(undefined);

export function useAuth(): Auth {
  const auth = useContext(AuthContext);
  if (!auth) throw new Error("useAuth needs an AuthProvider above it");
  return auth;
}

/** login leaves for the sign-in service, and comes back to this page. It rejects when that cannot be reached. */
export async function login(): Promise<void> {
  await signIn("realguardio", { callbackUrl: location.pathname === "/" ? "/" : location.href });
}

/** AuthProvider asks next-auth's provider for the session; a new key makes that ask anew. */
export function AuthProvider({ children }: { children: ReactNode }) {
  const [asked, setAsked] = useState(0);
  const [ended, setEnded] = useState(false);
  const askAgain = useCallback((because: { ended: boolean }) => {
    setEnded(because.ended);
    setAsked((n) => n + 1);
  }, []);
  return (
    <SessionProvider key={asked} refetchOnWindowFocus>
      <Judge ended={ended} askAgain={askAgain}>
        {children}
      </Judge>
    </SessionProvider>
  );
}

interface JudgeProps {
  /** The gateway has answered 401 to somebody who was signed in. */
  ended: boolean;
  askAgain: (because: { ended: boolean }) => void;
  children: ReactNode;
}

function Judge({ ended, askAgain, children }: JudgeProps) {
  const { data, status } = useSession();
  const reached = useReached(status === "unauthenticated");
  // A 401 although the session lives is a fault on the other side: asking on at once would go round in circles.
  const unknown = reached === "no" || (ended && status === "authenticated");

  const retry = useCallback(() => askAgain({ ended: false }), [askAgain]);
  const sessionEnded = useCallback(() => askAgain({ ended: true }), [askAgain]);
  useEffect(() => {
    if (!unknown) return;
    const timer = setTimeout(retry, 5_000);
    return () => clearTimeout(timer);
  }, [unknown, retry]);

  const auth = useMemo<Auth>(() => {
    const standing = (): Standing => {
      if (unknown) return { kind: "unknown", retry };
      if (data) return { kind: "signedIn", person: data.user };
      return status === "loading" || reached === "asking" ? { kind: "asking" } : { kind: "anonymous", ended };
    };
    return { standing: standing(), sessionEnded };
  }, [data, status, reached, unknown, ended, retry, sessionEnded]);

  return <AuthContext.Provider value={auth}>{children}</AuthContext.Provider>;
}

/**
 * useReached tells whether the gateway really said that nobody is signed in. next-auth reports a session endpoint that
 * fails just like one that answers {}: without this, a store that is down for a moment would look like a sign-out.
 */
function useReached(unauthenticated: boolean): "asking" | "yes" | "no" {
  const [reached, setReached] = useState<"asking" | "yes" | "no">("asking");
  useEffect(() => {
    if (!unauthenticated) return;
    const abort = new AbortController();
    fetch("/api/auth/session", { signal: abort.signal, cache: "no-store" }).then(
      (response) => setReached(response.ok ? "yes" : "no"),
      () => abort.signal.aborted || setReached("no"),
    );
    return () => abort.abort();
  }, [unauthenticated]);
  return reached;
}
