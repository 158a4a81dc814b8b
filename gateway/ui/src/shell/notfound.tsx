import { Link } from "../router";
import { Page } from "./page";

/** NotFoundPage does not tell apart what does not exist and what this person may not see: the server does not either. */
export function NotFoundPage({ what = "page" }: { what?: "page" | "system" }) {
  return (
    <Page title="Not found">
      <div className="empty">
        <p>This {what} does not exist, or you may not see it.</p>
        <Link to="/" className="button primary">
          Go to your systems
        </Link>
      </div>
    </Page>
  );
}
