import { signOut } from "next-auth/react";
import { useState, type ReactNode } from "react";
import type { Person } from "../auth/session";
import { Link, usePath } from "../router";
import { Wordmark } from "./brand";
import { MailIcon, ShieldIcon, SignOutIcon } from "./icons";

export function Header({ person }: { person: Person | undefined }) {
  return (
    <header className="header">
      <a className="skip" href="#main">
        Skip to content
      </a>
      <div className="header-row">
        <Link to="/" className="header-brand" aria-label="RealGuardIO, home">
          <Wordmark />
        </Link>
        {person && (
          <nav className="nav" aria-label="Main">
            <NavLink to="/" icon={<ShieldIcon />}>
              Systems
            </NavLink>
            <NavLink to="/notifications" icon={<MailIcon />}>
              Notifications
            </NavLink>
          </nav>
        )}
        {person && <Account person={person} />}
      </div>
    </header>
  );
}

function NavLink({ to, icon, children }: { to: string; icon: ReactNode; children: ReactNode }) {
  const here = usePath() === to;
  return (
    <Link to={to} aria-current={here ? "page" : undefined}>
      {icon}
      {children}
    </Link>
  );
}

function Account({ person }: { person: Person }) {
  const [leaving, setLeaving] = useState(false);
  const leave = () => {
    setLeaving(true);
    // When even signing out fails the person must be able to press again.
    signOut({ callbackUrl: "/" }).catch(() => setLeaving(false));
  };
  return (
    <div className="account">
      <span className="avatar" aria-hidden="true">
        {initials(person.name || person.email)}
      </span>
      <a className="account-name" href="/api/auth/account" title={person.email}>
        <span className="visually-hidden">Your account, signed in as </span>
        {person.name || person.email}
      </a>
      <button type="button" className="button quiet" onClick={leave} disabled={leaving}>
        <SignOutIcon />
        <span className="button-label">Sign out</span>
      </button>
    </div>
  );
}

function initials(name: string): string {
  const words = name.split(/[\s@.]+/).filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => word?.charAt(0) ?? "").join("").toUpperCase();
}
