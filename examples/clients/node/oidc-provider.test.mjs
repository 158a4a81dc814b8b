// Signing in at RealGuardIO by way of an OpenID Provider that others wrote, in a real browser.
import assert from "node:assert/strict";
import { it } from "node:test";
import { Provider } from "oidc-provider";
import { chromium } from "playwright-core";
import { installation } from "./support/installation.mjs";
import { executable, listen } from "./support/stand.mjs";

const secret = "a-secret-of-the-two-of-them";

/** elsewhere is the other provider. It tells of its people at UserInfo only, as the specification has it. */
function elsewhere(issuer, redirectURI) {
  return new Provider(issuer, {
    clients: [{ client_id: "realguardio", client_secret: secret, redirect_uris: [redirectURI] }],
    pkce: { required: () => true },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: "mary@mail.example", email_verified: true, name: "Mary" }) }),
  });
}

it("signs people in at another provider, in a browser, once their password has linked the two", { timeout: 120_000 }, async (t) => {
  let handler;
  const issuer = await listen(t, (request, response) => handler(request, response));
  const providers = `- id: elsewhere
  name: Elsewhere
  issuer: ${issuer}
  client-id: realguardio
  client-secret-file: DIR/secret
`;
  const stand = await installation(t, { secret, "providers.yaml": providers }, "--upstream-providers-file", "DIR/providers.yaml");
  handler = elsewhere(issuer, `${stand.issuer}/login/elsewhere/callback`).callback();
  const mary = stand.users.find(({ username }) => username.startsWith("mary@"));
  const browser = await chromium.launch({ executablePath: executable(), args: ["--no-sandbox", "--disable-gpu"] });
  t.after(() => browser.close());

  /** visit signs in by way of the other provider, and returns the page where that ends. */
  async function visit() {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    await page.goto(`${stand.issuer}/account`);
    await page.getByRole("button", { name: "Continue with Elsewhere" }).click();
    await page.waitForURL(`${issuer}/**`); // by itself: nobody has to follow the link
    await page.locator("[name=login]").fill("mary-elsewhere");
    await page.locator("[name=password]").fill("anything");
    await page.getByRole("button", { name: "Sign-in" }).click();
    await page.getByRole("button", { name: "Continue" }).click();
    await page.waitForURL(`${stand.issuer}/**`);
    return page;
  }

  const first = await visit();
  await first.getByText("You signed in with Elsewhere as mary@mail.example").waitFor();
  await first.getByLabel("E-mail of your account here").fill(mary.username);
  await first.getByLabel("Password").fill(mary.password);
  await first.getByRole("button", { name: "Connect and sign in" }).click();
  await first.getByRole("heading", { name: "Your account" }).waitFor();

  const second = await visit();
  await second.getByRole("heading", { name: "Your account" }).waitFor();
  await second.getByText(mary.username, { exact: true }).waitFor();
  await second.getByRole("button", { name: "Disconnect Elsewhere" }).click();
  await second.getByText("That provider does not sign you in any more.").waitFor();
  assert.equal(await second.getByRole("button", { name: "Disconnect Elsewhere" }).count(), 0);
});
