// Calls beside the pages: with the browser's cookies as a script in the page makes them, or with an API key.
import assert from "node:assert/strict";
import { stand } from "./stand.mjs";

/**
 * call makes a request from within the page, with the anti-CSRF proof unless `proof` is false.
 * It returns the status and the JSON of the answer.
 */
export function call(page, method, path, body, { proof = true } = {}) {
  return page.evaluate(
    async ({ method, path, body, proof }) => {
      const headers = { "Content-Type": "application/json" };
      if (proof && method !== "GET") headers["X-CSRF-Token"] = (await (await fetch("/api/auth/csrf")).json()).csrfToken;
      const init = method === "GET" ? {} : { method, headers, body: JSON.stringify(body ?? {}) };
      const response = await fetch(path, init);
      return { status: response.status, body: await response.json().catch(() => undefined) };
    },
    { method, path, body, proof },
  );
}

/** systemsOf are the systems this page's session may see, by location name. */
export async function systemsOf(page) {
  const { status, body } = await call(page, "GET", "/api/v1/securitysystems");
  assert.equal(status, 200);
  return Object.fromEntries((body.securitySystems ?? []).map((system) => [system.locationName, system]));
}

/** bringTo puts a system into a state by whatever actions that takes. The page's session must be allowed to. */
export async function bringTo(page, location, state, mode = "AWAY") {
  const system = (await systemsOf(page))[location];
  const path = `/api/v1/securitysystems/${system.id}`;
  if (system.state === state) return system;
  const answer = await call(page, "POST", state === "ARMED" ? `${path}:arm` : `${path}:disarm`, state === "ARMED" ? { mode } : {});
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

/** panelOf registers a panel for a system, as the page's session may, and returns a function by which it reports. */
export async function panelOf(page, systemId) {
  const registered = await call(page, "POST", `/api/v1/securitysystems/${systemId}/panel`);
  assert.equal(registered.status, 200, JSON.stringify(registered.body));
  const { clientId, clientSecret } = registered.body;

  const discovered = await (await fetch(`${stand.issuer}/.well-known/openid-configuration`)).json();
  const granted = await fetch(discovered.token_endpoint, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope: "panel.report" }),
  });
  assert.equal(granted.status, 200, await granted.clone().text());
  const { access_token: token } = await granted.json();

  return async (what, body) => {
    const response = await fetch(`${stand.gateway}/api/v1/panel:${what}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200, await response.clone().text());
  };
}
