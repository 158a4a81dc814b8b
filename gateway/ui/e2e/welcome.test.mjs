import assert from "node:assert/strict";
import { test } from "node:test";
import { shot, visitor } from "./support/browser.mjs";
import { signedIn, signIn } from "./support/people.mjs";
import { stand } from "./support/stand.mjs";

test("who is not signed in sees Login and nothing of anybody's systems", async (t) => {
  const { page } = await visitor(t);
  await page.goto("/");
  await page.getByRole("button", { name: "Login" }).waitFor();
  await shot(page, "welcome");
  assert.equal(await page.getByRole("button", { name: "Sign out" }).count(), 0);
  for (const location of ["Oakland", "Berkeley", "Hayward", "Springfield"]) {
    assert.equal(await page.getByText(location).count(), 0, location);
  }
});

test("the API answers 401 to who is not signed in", async (t) => {
  const { page } = await visitor(t);
  await page.goto("/");
  for (const path of ["/api/v1/securitysystems", "/api/securitysystems", "/api/v1/customers", "/api/v1/notifications"]) {
    const response = await page.request.get(path);
    assert.equal(response.status(), 401, path);
    assert.match(response.headers()["content-type"], /^application\/problem\+json/);
  }
});

test("the pages come under a strict policy and load nothing from elsewhere", async (t) => {
  const { page } = await visitor(t);
  const foreign = [];
  page.on("request", (request) => new URL(request.url()).origin !== stand.gateway && foreign.push(request.url()));
  const response = await page.goto("/");
  await page.getByRole("button", { name: "Login" }).waitFor();

  const policy = response.headers()["content-security-policy"];
  assert.match(policy, /default-src 'self'|default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.equal(response.headers()["x-content-type-options"], "nosniff");
  assert.deepEqual(foreign, []);
});

test("a link to one system leads there through the sign-in", async (t) => {
  const mary = await signedIn(t, "mary");
  await mary.page.getByRole("link", { name: "Oakland" }).click();
  await mary.page.getByRole("heading", { level: 1, name: "Oakland" }).waitFor();
  const link = mary.page.url();

  const later = await visitor(t);
  await later.page.goto(link);
  await signIn(later.page, "mary");
  await later.page.getByRole("heading", { level: 1, name: "Oakland" }).waitFor();
  assert.equal(later.page.url(), link);
});

test("a path that leads nowhere says so, signed in or not", async (t) => {
  const { page } = await signedIn(t, "mary");
  for (const path of ["/nowhere", "/systems/sys_nothing", "/systems/%ff"]) {
    await page.goto(path);
    await page.getByRole("heading", { level: 1, name: "Not found" }).waitFor();
  }
  await page.getByRole("link", { name: "Go to your systems" }).click();
  await page.getByRole("heading", { level: 1, name: "Security systems" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/");
});
