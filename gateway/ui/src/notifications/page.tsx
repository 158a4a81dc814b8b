import { useCallback, useState } from "react";
import { listNotifications, type Notification } from "../api/notifications";
import type { Page as PageOf } from "../api/systems";
import { usePolled } from "../live/usePolled";
import { MailIcon } from "../shell/icons";
import { ProblemNotice } from "../shell/notice";
import { Page } from "../shell/page";
import { Ago } from "../shell/when";

const refreshEvery = 10_000;

const deliveryWords: Record<Notification["state"], string> = {
  DELIVERY_STATE_UNSPECIFIED: "Unknown",
  PENDING: "On its way",
  SENT: "Sent",
  FAILED: "Not delivered",
};

/** NotificationsPage lists the messages that were sent to this person. */
export function NotificationsPage() {
  const [pages, setPages] = useState(1);
  const load = useCallback((signal: AbortSignal) => loadPages(pages, signal), [pages]);
  const { data, problem, reload } = usePolled(load, refreshEvery);
  return (
    <Page title="Notifications" lead={<p>What RealGuardIO has told you by e-mail.</p>}>
      {problem && <ProblemNotice problem={problem} again={reload} />}
      {!data && !problem && <div className="card skeleton" role="status" aria-label="Loading your notifications" />}
      {data?.items.length === 0 && (
        <div className="empty">
          <MailIcon />
          <h2>No notifications yet</h2>
          <p>When a system that concerns you is armed, disarmed or in alarm, the message will also stand here.</p>
        </div>
      )}
      {data && data.items.length > 0 && (
        <ol className="card messages">
          {data.items.map((each) => (
            <Message key={each.id} message={each} />
          ))}
        </ol>
      )}
      {data?.next && (
        <button type="button" className="button more" onClick={() => setPages((n) => n + 1)}>
          Show more
        </button>
      )}
    </Page>
  );
}

function Message({ message }: { message: Notification }) {
  return (
    <li className="message">
      <MailIcon />
      <p className="message-subject">{message.subject}</p>
      <span className="pill" data-delivery={message.state}>
        {deliveryWords[message.state]}
      </span>
      <Ago time={message.sent ?? message.created} />
    </li>
  );
}

async function loadPages(count: number, signal: AbortSignal): Promise<PageOf<Notification>> {
  let all: PageOf<Notification> = { items: [], next: "" };
  for (let n = 0; n < count; n++) {
    const page = await listNotifications(all.next, signal);
    all = { items: [...all.items, ...page.items], next: page.next };
    if (!page.next) break;
  }
  return all;
}
