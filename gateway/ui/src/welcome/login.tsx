import { useState } from "react";
import { login } from "../auth/session";
import { Notice } from "../shell/notice";

export function LoginButton() {
  const [going, setGoing] = useState<"no" | "yes" | "failed">("no");
  const go = () => {
    if (going === "yes") return;
    setGoing("yes");
    login().catch(() => setGoing("failed"));
  };
  const busy = going === "yes";
  return (
    <>
      {going === "failed" && <Notice tone="problem">Signing in is not possible at the moment. Please try again shortly.</Notice>}
      <button type="button" className="button primary large" onClick={go} aria-disabled={busy} data-busy={busy || undefined}>
        Login
      </button>
    </>
  );
}
