// What the pages do not offer, the server refuses; and what it refuses changes nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bringTo, call, systemsOf } from "./support/api.mjs";
import { shot } from "./support/browser.mjs";
import { deaf, signedIn } from "./support/people.mjs";

const refusals = [
  { who: "eve", location: "Oakland", what: "sees no systems, and Oakland does not exist for her", read: 404, arm: 404, disarm: 404 },
  { who: "bob", location: "Oakland", what: "is of another company: Oakland does not exist for him", read: 404, arm: 404, disarm: 404 },
  { who: "charlie", location: "Oakland", what: "has rights elsewhere: Oakland does not exist for him", read: 404, arm: 404, disarm: 404 },
  { who: "victor", location: "Oakland", what: "may view and not act", read: 200, arm: 403, disarm: 403 },
  { who: "admin", location: "Oakland", what: "runs the platform and may not act on a customer's system", read: 200, arm: 403, disarm: 403 },
  { who: "charlie", location: "Berkeley", what: "may disarm and not arm", read: 200, arm: 403 },
];

for (const { who, location, what, read, ...actions } of refusals) {
  test(`${who} ${what}`, async (t) => {
    const alice = await signedIn(t, "alice");
    const { page } = await signedIn(t, who);
    for (const [action, status] of Object.entries(actions)) {
      const before = await bringTo(alice.page, location, action === "arm" ? "DISARMED" : "ARMED");
      const path = `/api/v1/securitysystems/${before.id}`;
      assert.equal((await call(page, "GET", path)).status, read, "reading it");
      assert.equal((await call(page, "GET", `${path}/events`)).status, read, "reading its timeline");

      const answer = await call(page, "POST", `${path}:${action}`, { etag: before.etag });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      const after = (await systemsOf(alice.page))[location];
      assert.deepEqual(withoutActions(after), withoutActions(before), `${action} changed something`);
    }
  });
}

test("eve's page is empty, and the address of a system shows her nothing", async (t) => {
  const alice = await signedIn(t, "alice");
  const { id } = (await systemsOf(alice.page)).Oakland;
  const { page } = await signedIn(t, "eve");
  await page.getByText("No systems yet").waitFor();
  await shot(page, "home-empty");
  await page.goto(`/systems/${id}`);
  await page.getByRole("heading", { level: 1, name: "Not found" }).waitFor();
  assert.equal(await page.getByText("Oakland").count(), 0);
});

test("a change without the anti-CSRF proof, or with a made-up one, is refused", async (t) => {
  const { page } = await signedIn(t, "mary");
  const before = await bringTo(page, "Oakland", "DISARMED");
  const path = `/api/v1/securitysystems/${before.id}:arm`;
  assert.equal((await call(page, "POST", path, {}, { proof: false })).status, 403);
  const forged = await page.evaluate(
    async (path) =>
      (await fetch(path, { method: "POST", body: "{}", headers: { "X-CSRF-Token": "0".repeat(64), "Content-Type": "application/json" } })).status,
    path,
  );
  assert.equal(forged, 403);
  assert.equal((await systemsOf(page)).Oakland.etag, before.etag);
});

test("who acts on an older state than the present one is told so, and then shown it", async (t) => {
  const alice = await signedIn(t, "alice");
  await bringTo(alice.page, "Oakland", "DISARMED");
  const { page } = await signedIn(t, "mary");
  await deaf(page);
  const arm = page.getByRole("button", { name: "Arm Oakland: Away" });
  await arm.waitFor();

  const list = "**/api/v1/securitysystems?*";
  await page.route(list, (route) => route.abort());
  await bringTo(alice.page, "Oakland", "ARMED", "STAY");
  await arm.click();
  await page.getByText("Somebody changed this system a moment ago.").waitFor();
  assert.equal((await systemsOf(alice.page)).Oakland.mode, "STAY");

  await page.unroute(list);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("Armed · Stay").waitFor();
});

function withoutActions({ allowedActions, ...rest }) {
  return rest;
}
