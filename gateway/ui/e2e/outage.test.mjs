// What the pages do when the gateway's answers fail to come or are refusals.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bringTo } from "./support/api.mjs";
import { card, deaf, signedIn } from "./support/people.mjs";

const list = "**/api/v1/securitysystems?*";
const unavailable = {
  status: 503,
  contentType: "application/problem+json",
  body: JSON.stringify({ status: 503, code: "UNAVAILABLE", reason: "DEPENDENCY_DOWN", requestId: "req-4711" }),
};

test("while a part is down the page says so, keeps what it showed, and recovers by itself", async (t) => {
  const { page } = await signedIn(t, "mary");
  await deaf(page);
  await card(page, "Oakland").waitFor();
  await page.route(list, (route) => route.fulfill(unavailable));
  const notice = page.getByRole("alert").filter({ hasText: "cannot be reached at the moment" });
  await notice.waitFor();
  await notice.getByText("req-4711").waitFor();
  assert.ok(await card(page, "Oakland").isVisible());

  await page.unroute(list);
  await notice.waitFor({ state: "detached", timeout: 20_000 });
});

test("an action that fails says so where it was asked for, and can be tried again", async (t) => {
  const { page } = await signedIn(t, "mary");
  await bringTo(page, "Oakland", "DISARMED");
  const arm = "**/api/v1/securitysystems/*:arm";
  await page.route(arm, (route) => route.fulfill(unavailable));
  const button = page.getByRole("button", { name: "Arm Oakland: Away" });
  await button.click();
  await card(page, "Oakland").getByRole("alert").waitFor();

  await page.unroute(arm);
  await button.click();
  await card(page, "Oakland").getByText("Armed · Away").waitFor();
  assert.equal(await card(page, "Oakland").getByRole("alert").count(), 0);
});

test("a session endpoint that fails is not taken for a sign-out", async (t) => {
  const { page } = await signedIn(t, "mary");
  await page.route("**/api/auth/session", (route) => route.fulfill(unavailable));
  await page.reload();
  await page.getByText("You are not signed out").waitFor();
  assert.equal(await page.getByRole("button", { name: "Login" }).count(), 0);
  await page.unroute("**/api/auth/session");
  await page.getByRole("button", { name: "Try again" }).click();
  await card(page, "Oakland").waitFor();
});

test("an action is asked for once however often its button is pressed", async (t) => {
  const { page } = await signedIn(t, "mary");
  await bringTo(page, "Oakland", "DISARMED");
  let asked = 0;
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await page.route("**/api/v1/securitysystems/*:arm", async (route) => {
    asked++;
    await held;
    await route.continue();
  });
  const button = page.getByRole("button", { name: "Arm Oakland: Away" });
  await button.click();
  await page.locator("[aria-busy=true]").waitFor();
  await button.dispatchEvent("click");
  await button.dispatchEvent("click");
  answer();
  await card(page, "Oakland").getByText("Armed · Away").waitFor();
  assert.equal(asked, 1);
});
