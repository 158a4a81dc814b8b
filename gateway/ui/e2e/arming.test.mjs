// People change the state of systems, and everybody concerned sees it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { bringTo, call, panelOf, systemsOf } from "./support/api.mjs";
import { shot } from "./support/browser.mjs";
import { card, signedIn } from "./support/people.mjs";

test("mary arms Oakland, and its timeline names her", async (t) => {
  const { page } = await signedIn(t, "mary");
  await bringTo(page, "Oakland", "DISARMED");
  const { body } = await call(page, "GET", "/api/auth/session");
  await page.reload();

  await page.getByRole("button", { name: "Arm Oakland: Night" }).click();
  const oakland = card(page, "Oakland");
  await oakland.getByText("Armed · Night").waitFor();
  await oakland.getByText(body.user.name).waitFor();
  await page.getByRole("status").getByText("Oakland: armed, night.").waitFor();

  await oakland.getByRole("link", { name: "Oakland" }).click();
  const newest = page.getByRole("region", { name: "Timeline" }).getByRole("listitem").first();
  await newest.getByText("Armed · Night").waitFor();
  assert.match(await newest.textContent(), new RegExp(`by ${body.user.name} through the web app`));
  await shot(page, "system-armed-by-mary");

  const { Oakland } = await systemsOf(page);
  assert.equal(Oakland.state, "ARMED");
  assert.equal(Oakland.mode, "NIGHT");
  assert.equal(Oakland.updatedBy.id, body.user.sub);
});

test("another browser sees the change in under a second, without reloading", async (t) => {
  const mary = await signedIn(t, "mary");
  await bringTo(mary.page, "Oakland", "ARMED");
  const alice = await signedIn(t, "alice");
  const told = alice.page.waitForResponse((response) => response.url().endsWith("/securitysystems:watch"));
  await alice.page.reload();
  assert.equal((await told).status(), 200);
  await card(alice.page, "Oakland").getByText(/^Armed/).waitFor();

  await mary.page.reload();
  const disarm = mary.page.getByRole("button", { name: "Disarm Oakland" });
  await disarm.waitFor();
  const began = Date.now();
  await disarm.click();
  await card(alice.page, "Oakland").getByText("Disarmed").waitFor();
  assert.ok(Date.now() - began < 1_000, `it took ${Date.now() - began} ms`);
  await card(mary.page, "Oakland").getByText("Disarmed").waitFor();

  // The timeline of an open system goes on by itself as well.
  await card(alice.page, "Oakland").getByRole("link", { name: "Oakland" }).click();
  await alice.page.getByRole("region", { name: "Timeline" }).getByText("Disarmed").first().waitFor();
  await mary.page.getByRole("button", { name: "Arm Oakland: Night" }).click();
  await alice.page.getByRole("region", { name: "State" }).getByText("Armed · Night").waitFor({ timeout: 1_500 });
});

test("everything can be done with the keyboard alone", async (t) => {
  const { page } = await signedIn(t, "mary");
  await bringTo(page, "Oakland", "DISARMED");
  await page.goto("/");
  await page.getByRole("button", { name: "Arm Oakland: Stay" }).waitFor();

  await tabTo(page, "Skip to content");
  await tabTo(page, "Oakland");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Oakland" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1", "the focus follows to the new page");

  await tabTo(page, "Arm Oakland: Stay");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "State" }).getByText("Armed · Stay").waitFor();

  await page.waitForFunction(() => document.activeElement.textContent === "Disarm Oakland");
  await page.keyboard.press("Space");
  await page.getByRole("region", { name: "State" }).getByText("Disarmed").waitFor();
});

test("an alarm is seen, acknowledged and ended", async (t) => {
  const alice = await signedIn(t, "alice");
  const { id } = await bringTo(alice.page, "Hayward", "DISARMED");
  await bringTo(alice.page, "Hayward", "ARMED");
  const report = await panelOf(alice.page, id);
  await report("reportAlarm", { reportId: randomUUID(), alarm: "INTRUSION", detail: "Zone 3, back door" });

  const { page } = alice;
  await page.getByRole("alert").getByText("Alarm at Hayward (intrusion).").waitFor();
  const hayward = card(page, "Hayward");
  await hayward.getByText("Alarm · Intrusion").waitFor();
  await shot(page, "home-alarm");

  await page.getByRole("button", { name: "Acknowledge Hayward" }).click();
  await hayward.getByText("Acknowledged").waitFor();
  await page.getByRole("alert").waitFor({ state: "detached" });

  await hayward.getByRole("link", { name: "Hayward" }).click();
  const timeline = page.getByRole("region", { name: "Timeline" });
  await timeline.getByText("Zone 3, back door").first().waitFor();
  await timeline.getByText("Alarm acknowledged").first().waitFor();
  await shot(page, "system-alarm");
  await page.getByRole("button", { name: "Disarm Hayward" }).click();
  await page.getByRole("region", { name: "State" }).getByText("Disarmed").waitFor();
});

test("faults show on the card", async (t) => {
  const alice = await signedIn(t, "alice");
  const { Berkeley } = await systemsOf(alice.page);
  const report = await panelOf(alice.page, Berkeley.id);
  await report("reportFaults", { faults: ["LOW_BATTERY"] });
  t.after(() => report("reportFaults", { faults: [] }));
  await card(alice.page, "Berkeley").getByText("Battery low").waitFor();
});

test("the timeline goes back page by page, with nothing twice and nothing missing", async (t) => {
  const { page } = await signedIn(t, "alice");
  const { id } = (await systemsOf(page)).Berkeley;
  for (let n = 0; n < 12; n++) {
    await bringTo(page, "Berkeley", "ARMED");
    await bringTo(page, "Berkeley", "DISARMED");
  }
  const all = (await call(page, "GET", `/api/v1/securitysystems/${id}/events?pageSize=200`)).body.events;
  assert.ok(all.length > 20, "there is more than one page");

  await page.goto(`/systems/${id}`);
  const entries = page.getByRole("region", { name: "Timeline" }).getByRole("listitem");
  const more = page.getByRole("button", { name: "Show earlier events" });
  await entries.first().waitFor();
  for (let shown = await entries.count(); await more.isVisible(); shown = await entries.count()) {
    await more.click();
    await entries.nth(shown).waitFor();
    await page.locator("button.more:not([data-busy])").or(entries.last()).first().waitFor();
  }
  assert.equal(await entries.count(), all.length);
});

/** Presses Tab until the element with this accessible name has the focus. */
async function tabTo(page, name) {
  const wanted = page.getByRole("link", { name, exact: true }).or(page.getByRole("button", { name, exact: true })).first();
  for (let n = 0; n < 40; n++) {
    await page.keyboard.press("Tab");
    if (await wanted.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`the Tab key does not reach ${name}`);
}
