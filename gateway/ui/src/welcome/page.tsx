import type { ReactNode } from "react";
import { HistoryIcon, LockIcon, ShieldCheckIcon, ShieldOffIcon, UserIcon } from "../shell/icons";
import { Notice } from "../shell/notice";
import { Page } from "../shell/page";
import { LoginButton } from "./login";

/** WelcomePage is home for who is not signed in. */
export function WelcomePage({ ended }: { ended: boolean }) {
  return (
    <div className="welcome">
      <Page
        title="Know that it is locked. Know who locked it."
        windowTitle="RealGuardIO"
        above={<p className="eyebrow">Security systems for companies with many doors</p>}
        lead={
          <p>
            See the alarm systems of your locations, arm and disarm them from wherever you are, and read who did what and when.
          </p>
        }
      >
        {ended && <Notice tone="info">Your session has ended. Please log in again.</Notice>}
        <LoginButton />
      </Page>
      <Preview />
      <Promises />
    </div>
  );
}

/** A picture of the product: nothing in it is real. */
function Preview() {
  return (
    <div className="preview" aria-hidden="true">
      <PreviewRow state="ARMED" icon={<ShieldCheckIcon />} name="Warehouse" words="Armed · Away" who="by Dana, 18:04" />
      <PreviewRow state="ARMED" icon={<ShieldCheckIcon />} name="Front office" words="Armed · Night" who="by Sam, 19:32" />
      <PreviewRow state="DISARMED" icon={<ShieldOffIcon />} name="Workshop" words="Disarmed" who="by Kim, 07:15" />
    </div>
  );
}

function PreviewRow(row: { state: string; icon: ReactNode; name: string; words: string; who: string }) {
  return (
    <div className="preview-row">
      <span className="state-mark" data-state={row.state}>
        {row.icon}
      </span>
      <span>
        <b>{row.name}</b>
        <span data-state={row.state}>{row.words}</span>
      </span>
      <small>{row.who}</small>
    </div>
  );
}

function Promises() {
  return (
    <section className="promises" aria-label="What to expect">
      <Promise icon={<UserIcon />} title="Yours, and only yours">
        Everybody sees the systems they are responsible for, and is offered only what they may do there.
      </Promise>
      <Promise icon={<HistoryIcon />} title="Every change has a name">
        Each arming, disarming and alarm is kept with who did it, when, and through which application.
      </Promise>
      <Promise icon={<LockIcon />} title="Signed in with care">
        Your password goes to the sign-in service alone, and this page never holds a key to your systems.
      </Promise>
    </section>
  );
}

function Promise({ icon, title, children }: { icon: ReactNode; title: string; children: ReactNode }) {
  return (
    <div className="promise">
      {icon}
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  );
}
