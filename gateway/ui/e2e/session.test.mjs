// Signing in, staying signed in, and signing out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call } from "./support/api.mjs";
import { shot, visitor } from "./support/browser.mjs";
import { cards, fillIn, signedInAnew, signIn } from "./support/people.mjs";
import { account, stand } from "./support/stand.mjs";

test("signing out ends the session here, at the API and at the sign-in service", async (t) => {
  const { page, context } = await signedInAnew(t, "mary");
  assert.deepEqual((await cards(page)).map((each) => each.name), ["Oakland"]);
  await page.getByRole("link", { name: "Oakland" }).click();
  await page.getByRole("heading", { level: 1, name: "Oakland" }).waitFor();
  const kept = await context.cookies();

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Login" }).waitFor();
  assert.equal((await call(page, "GET", "/api/v1/securitysystems")).status, 401);
  assert.deepEqual((await call(page, "GET", "/api/auth/session")).body, {});

  await page.goBack();
  await page.getByRole("button", { name: "Login" }).waitFor();
  assert.equal(await page.getByText("Oakland").count(), 0, "the back button brings nothing back");

  await context.addCookies(kept);
  assert.equal((await call(page, "GET", "/api/v1/securitysystems")).status, 401, "the cookies of before are worthless");
  await context.clearCookies();

  await page.goto("/");
  await page.getByRole("button", { name: "Login" }).click();
  await page.getByLabel(/password/i).waitFor();
  assert.equal(new URL(page.url()).origin, stand.issuer);
});

test("after signing out the sign-in service asks for the password again, its own cookies kept", async (t) => {
  const { page } = await signedInAnew(t, "mary");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Login" }).click();
  await page.getByLabel(/password/i).waitFor();
  assert.equal(new URL(page.url()).origin, stand.issuer);
});

test("signing out in one tab ends the other", async (t) => {
  const { page, context } = await signedInAnew(t, "mary");
  const other = await context.newPage();
  await other.goto("/");
  await other.getByRole("button", { name: "Sign out" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await other.getByRole("button", { name: "Login" }).waitFor();
  assert.equal(await other.getByText("Oakland").count(), 0);
});

test("a session that has gone sends to the welcome page with a word about it", async (t) => {
  const { page, context } = await signedInAnew(t, "mary");
  await context.clearCookies();
  await page.getByRole("button", { name: "Login" }).waitFor({ timeout: 25_000 });
  await page.getByText("Your session has ended.").waitFor();
});

test("signing in lasts: reloads and new tabs ask for nothing", async (t) => {
  const { page, context } = await signedInAnew(t, "mary");
  await page.reload();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  const tab = await context.newPage();
  await tab.goto("/");
  await tab.getByRole("button", { name: "Sign out" }).waitFor();
});

test("a wrong password and an unknown name get the same answer, which tells neither", async (t) => {
  const answers = [];
  for (const username of [account("mary").username, "nobody@acme.example"]) {
    const { page, context } = await visitor(t);
    await page.goto("/");
    await page.getByRole("button", { name: "Login" }).click();
    await fillIn(page, username, "not the password");
    await page.getByRole("alert").waitFor();
    answers.push((await page.getByRole("alert").textContent()).trim());
    assert.equal(new URL(page.url()).origin, stand.issuer);
    if (answers.length === 1) await shot(page, "wrong-password");
    assert.equal(await page.getByLabel(/password/i).inputValue(), "", "the password is not sent back");
    await context.close();
  }
  assert.equal(answers[0], answers[1]);
  assert.doesNotMatch(answers[0], /unknown|no such|not exist|does not match/i);
});

test("after a wrong password the right one still works", async (t) => {
  const { page } = await visitor(t);
  await page.goto("/");
  await page.getByRole("button", { name: "Login" }).click();
  await fillIn(page, account("mary").username, "not the password");
  await page.getByRole("alert").waitFor();
  await fillIn(page, account("mary").username, account("mary").password);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
});

test("no token ever reaches the page", async (t) => {
  const { page, context } = await visitor(t);
  const seen = [];
  page.on("response", async (response) => {
    if (new URL(response.url()).origin !== stand.gateway) return;
    const body = await response.body().catch(() => "");
    seen.push(`${response.url()} ${JSON.stringify(response.headers())} ${body}`);
  });
  await page.goto("/");
  await signIn(page, "mary");
  await cards(page);
  await page.reload();
  await cards(page);

  const { body: session } = await call(page, "GET", "/api/auth/session");
  assert.deepEqual(Object.keys(session).sort(), ["expires", "roles", "user"]);
  assert.deepEqual(Object.keys(session.user).sort(), ["email", "name", "sub"]);
  assert.equal(session.user.email, account("mary").username);
  assert.ok(Date.parse(session.expires) > Date.now());

  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  const jwt = /eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/;
  for (const text of [...seen, stored]) assert.doesNotMatch(text, jwt);
  for (const cookie of await context.cookies()) assert.doesNotMatch(cookie.value, jwt, cookie.name);
});

test("scripts can read none of the cookies, and each is as narrow as it can be", async (t) => {
  const { page, context } = await signedInAnew(t, "mary");
  assert.equal(await page.evaluate(() => document.cookie), "");
  const cookies = await context.cookies(stand.gateway);
  assert.ok(cookies.length > 0);
  for (const { name, httpOnly, sameSite, secure } of cookies) {
    assert.ok(httpOnly, `${name} is HttpOnly`);
    assert.match(sameSite, /Lax|Strict/, `${name} is SameSite`);
    if (stand.gateway.startsWith("https:")) {
      assert.ok(secure, `${name} is Secure`);
      assert.match(name, /^__Host-/);
    }
  }
});
