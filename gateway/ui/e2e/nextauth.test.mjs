// The client functions of next-auth 4, exactly as published, against the gateway's routes.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { visitor } from "./support/browser.mjs";
import { fillIn, signedInAnew } from "./support/people.mjs";
import { account, stand } from "./support/stand.mjs";

describe("next-auth/react", () => {
  let source;
  before(async () => {
    source = await bundle("support/nextauth.mjs");
  });

  /** The page's own script uses the same functions; here they are called one by one. */
  async function withNextAuth(t, name) {
    const who = name ? await signedInAnew(t, name) : await visitor(t);
    if (!name) await who.page.goto("/");
    await who.page.evaluate(source);
    return who;
  }

  test("getProviders names the sign-in service", async (t) => {
    const { page } = await withNextAuth(t);
    const { realguardio } = await page.evaluate(() => nextAuth.getProviders());
    assert.equal(realguardio.id, "realguardio");
    assert.match(realguardio.type, /^oauth|oidc$/);
    assert.equal(realguardio.signinUrl, `${stand.gateway}/api/auth/signin/realguardio`);
    assert.equal(realguardio.callbackUrl, `${stand.gateway}/api/auth/callback/realguardio`);
  });

  test("getCsrfToken returns the same token until the session changes", async (t) => {
    const { page } = await withNextAuth(t);
    const [first, second] = await page.evaluate(async () => [await nextAuth.getCsrfToken(), await nextAuth.getCsrfToken()]);
    assert.match(first, /^[0-9a-f]{64}$/);
    assert.equal(first, second);
  });

  test("getSession is null for nobody, and the person for who is signed in", async (t) => {
    const nobody = await withNextAuth(t);
    assert.equal(await nobody.page.evaluate(() => nextAuth.getSession()), null);
    const mary = await withNextAuth(t, "mary");
    const session = await mary.page.evaluate(() => nextAuth.getSession());
    assert.equal(session.user.email, account("mary").username);
    assert.ok(Date.parse(session.expires) > Date.now());
  });

  test("signIn leads to the sign-in service and back to where it was asked to", async (t) => {
    const { page } = await withNextAuth(t);
    await page.evaluate(() => void nextAuth.signIn("realguardio", { callbackUrl: "/notifications" }));
    await fillIn(page, account("mary").username, account("mary").password);
    await page.waitForURL(`${stand.gateway}/notifications`);
  });

  test("signIn does not lead out to somebody else's page", async (t) => {
    const { page } = await withNextAuth(t);
    await page.evaluate(() => void nextAuth.signIn("realguardio", { callbackUrl: "https://elsewhere.example/" }));
    await fillIn(page, account("mary").username, account("mary").password);
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    assert.equal(new URL(page.url()).origin, stand.gateway);
  });

  test("signOut without a redirect ends the session and says where to go", async (t) => {
    const { page } = await withNextAuth(t, "mary");
    const { url } = await page.evaluate(() => nextAuth.signOut({ redirect: false, callbackUrl: "/" }));
    assert.equal(new URL(url, stand.gateway).origin, stand.gateway);
    assert.equal(await page.evaluate(() => nextAuth.getSession()), null);
  });
});

/** A module and what it imports as one script. */
async function bundle(file) {
  const at = (path) => fileURLToPath(new URL(path, import.meta.url));
  const output = await build({
    configFile: at("../vite.config.ts"),
    root: at(".."),
    publicDir: false,
    logLevel: "error",
    build: { write: false, rolldownOptions: { input: at(file), output: { format: "iife" } } },
  });
  const [{ output: chunks }] = [output].flat();
  return chunks[0].code;
}
