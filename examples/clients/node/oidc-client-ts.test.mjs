import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { pages } from "./oidc-client-ts/serve.mjs";
import { account, executable, issuer, listen, register, stand } from "./support/stand.mjs";

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: executable(), args: ["--no-sandbox", "--disable-gpu"] });
});
after(() => browser.close());

/** visitor opens the page in a browser that has never been here. Its client is registered for that origin alone. */
async function visitor(t, ...flags) {
  let handler;
  const origin = await listen(t, (request, response) => handler(request, response));
  const addresses = ["--redirect-uri", `${origin}/callback`, "--post-logout-redirect-uri", `${origin}/`];
  const grants = ["--grant", "authorization_code,refresh_token", "--scope", "openid,profile,email,offline_access"];
  const { client_id: clientId } = await register(t, "--public", ...grants, ...addresses, ...flags);
  handler = pages({ issuer: stand.issuer, clientId });
  // The certificates of `realguardio dev --tls` are by an authority of its own, which the browser does not know.
  const context = await browser.newContext({ ignoreHTTPSErrors: issuer.protocol === "https:" });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(origin);
  return { page, origin };
}

/** signIn answers the provider's page, which the browser is on. */
async function signIn(page, name) {
  const { username, password } = account(name);
  await page.getByLabel("E-mail").fill(username);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** stored is what the library keeps of the person who is signed in. */
async function stored(page) {
  const entries = await page.evaluate(() => Object.entries(sessionStorage));
  const [, user] = entries.find(([key]) => key.startsWith("oidc.user:")) ?? [];
  return user && JSON.parse(user);
}

const says = (page, text) => page.getByRole("status").getByText(text, { exact: true }).waitFor();

describe("oidc-client-ts", { concurrency: 4 }, () => {
  it("signs in from a page that has no server, and reads UserInfo", async (t) => {
    const { page, origin } = await visitor(t);
    await page.getByRole("button", { name: "Log in" }).click();
    await signIn(page, "mary");
    await page.getByRole("button", { name: "Allow" }).click();
    await says(page, `Signed in as ${account("mary").username}`);
    assert.equal(page.url(), `${origin}/`);
    const { profile, access_token } = await stored(page);
    assert.equal(profile.sub, account("mary").sub);
    assert.equal(profile.email_verified, true);
    assert.ok(access_token);
  });

  it("renews its tokens, and signs out with all of them", async (t) => {
    const { page, origin } = await visitor(t, "--first-party");
    await page.getByRole("button", { name: "Log in" }).click();
    await signIn(page, "alice");
    await says(page, `Signed in as ${account("alice").username}`);
    const first = await stored(page);
    await page.getByRole("button", { name: "Renew" }).click();
    await says(page, `Signed in as ${account("alice").username}, once more`);
    const second = await stored(page);
    assert.notEqual(second.access_token, first.access_token);
    assert.notEqual(second.refresh_token, first.refresh_token);

    await page.getByRole("button", { name: "Log out" }).click();
    await says(page, "Nobody is signed in");
    assert.equal(page.url(), `${origin}/`);
    assert.equal(await stored(page), undefined);
    const info = await fetch(`${stand.issuer}/oauth2/userinfo`, { headers: { authorization: `Bearer ${second.access_token}` } });
    assert.equal(info.status, 401);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByLabel("Password").waitFor();
  });

  it("is told when the person denies it", async (t) => {
    const { page } = await visitor(t);
    await page.getByRole("button", { name: "Log in" }).click();
    await signIn(page, "mary");
    await page.getByRole("button", { name: "Deny" }).click();
    await says(page, "Failed: access_denied");
    assert.equal(await stored(page), undefined);
  });

  it("is let in nowhere else: a page of another origin reads no answer", async (t) => {
    const stranger = await listen(t, (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>stranger"));
    const context = await browser.newContext({ ignoreHTTPSErrors: issuer.protocol === "https:" });
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(stranger);
    const reads = (path, init) =>
      page.evaluate(([url, init]) => fetch(url, init).then((r) => r.status, () => "nothing"), [`${stand.issuer}${path}`, init]);
    assert.equal(await reads("/.well-known/openid-configuration"), 200);
    assert.equal(await reads("/oauth2/jwks"), 200);
    assert.equal(await reads("/oauth2/token", { method: "POST", body: "" }), "nothing");
    assert.equal(await reads("/oauth2/userinfo", { headers: { authorization: "Bearer x" } }), "nothing");
  });
});
