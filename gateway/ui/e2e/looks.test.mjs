// Every page in every width and both colour schemes: nothing sticks out, and an audit of its accessibility finds nothing.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { call, systemsOf } from "./support/api.mjs";
import { shot, visitor } from "./support/browser.mjs";
import { fillIn, signedIn } from "./support/people.mjs";
import { account, stand } from "./support/stand.mjs";

const widths = [320, 390, 768, 1280, 1440];
const schemes = ["light", "dark"];

// settled waits until the colours of another scheme have been painted, transitions between them included.
async function settled() {
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
  await Promise.allSettled(document.getAnimations().map((each) => each.finished));
}

/** linkTo waits for a letter to an address, and is the link in it. */
async function linkTo(address) {
  for (const end = Date.now() + 10_000; Date.now() < end; await setTimeout(100)) {
    const { messages } = await (await fetch(stand.outbox, { headers: { Accept: "application/json" } })).json();
    const link = messages.filter((each) => each.to.includes(address)).flatMap((each) => each.text.match(/https?:\/\/\S+\?link=\S+/) ?? [])[0];
    if (link) return link;
  }
  throw new Error(`no link came to ${address}`);
}

describe("looks", () => {
  let axe;
  before(async () => {
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  });

  async function audit(page, name) {
    for (const colorScheme of schemes) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const width of widths) {
        await page.setViewportSize({ width, height: 800 });
        const sticksOut = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(sticksOut <= 0, `${name} sticks out by ${sticksOut} px at ${width} px`);
        if (width === 390 || width === 1280) await shot(page, `${name}-${width}-${colorScheme}`);
      }
      await page.evaluate(settled);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map((each) => `${each.id}: ${each.help} (${each.nodes.map((node) => node.html).join(" | ")})`);
      assert.deepEqual(found, [], `${name}, ${colorScheme}`);
    }
  }

  test("the welcome page", async (t) => {
    const { page } = await visitor(t);
    await page.goto("/");
    await page.getByRole("button", { name: "Login" }).waitFor();
    await audit(page, "welcome");
  });

  test("the sign-in page", async (t) => {
    const { page } = await visitor(t);
    await page.goto("/");
    await page.getByRole("button", { name: "Login" }).click();
    await page.getByLabel(/password/i).waitFor();
    assert.equal(new URL(page.url()).origin, stand.issuer);
    await audit(page, "sign-in");
  });

  test("the pages that connect a device", async (t) => {
    const form = new URLSearchParams({ client_id: "realguardio-cli", scope: "openid securitysystem.read" });
    const begun = await (await fetch(`${stand.issuer}/oauth2/device_authorization`, { method: "POST", body: form })).json();
    const { page } = await visitor(t);
    await page.goto(begun.verification_uri);
    await fillIn(page, account("mary").username, account("mary").password);
    await page.getByLabel("Code").fill("BCDF-GHJK");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").waitFor();
    await audit(page, "device");

    await page.getByLabel("Code").fill(begun.user_code);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("button", { name: "Allow" }).waitFor();
    await audit(page, "connect");

    await page.getByRole("button", { name: "Allow" }).click();
    await page.getByText("Go back to it").waitFor();
    await audit(page, "connected");
  });

  test("the pages of somebody without their password", async (t) => {
    const { page } = await visitor(t);
    await page.goto(`${stand.issuer}/forgot`);
    await page.getByLabel("E-mail").fill(account("victor").username);
    await audit(page, "forgot");

    await page.getByRole("button", { name: "Send the link" }).click();
    await page.getByRole("heading", { name: "Forgot your password?" }).waitFor({ state: "detached" });
    await audit(page, "forgot-sent");

    await page.goto(await linkTo(account("victor").username));
    assert.equal(await page.getByLabel("New password").getAttribute("autocomplete"), "new-password");
    await page.getByLabel("New password").fill("realguardio-victor");
    await page.getByLabel("The same again").fill("realguardio-victor");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("alert").waitFor();
    await audit(page, "password-by-link");

    await page.goto(`${stand.issuer}/password?link=nothing`);
    await page.getByRole("heading", { name: "This link is over" }).waitFor();
    await audit(page, "link-over");
  });

  test("the page that confirms an address", async (t) => {
    const { page } = await signedIn(t, "alice");
    const change = { email: "alice.liddell@acme.example", currentPassword: account("alice").password };
    const { status, body } = await call(page, "POST", "/api/v1/me:changeEmail", change);
    assert.equal(status, 200, JSON.stringify(body));
    await page.goto(await linkTo(change.email));
    await page.getByRole("button", { name: "Confirm" }).waitFor();
    await audit(page, "verify");
  });

  test("the page that asks for consent, and the one that asks before signing out", async (t) => {
    const { page } = await visitor(t);
    const partner = stand.clients.find((client) => client.client_id === "demo-partner");
    const asked = new URLSearchParams({
      client_id: partner.client_id,
      redirect_uri: partner.redirect_uris[0],
      response_type: "code",
      scope: "openid profile securitysystem.read",
      code_challenge: createHash("sha256").update("v".repeat(43)).digest("base64url"),
      code_challenge_method: "S256",
    });
    await page.goto(`${stand.issuer}/oauth2/authorize?${asked}`);
    await fillIn(page, account("mary").username, account("mary").password);
    await page.getByRole("button", { name: "Allow" }).waitFor();
    await audit(page, "consent");

    await page.goto(`${stand.issuer}/oauth2/logout`);
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    await audit(page, "sign-out");

    await page.goto(stand.issuer);
    await audit(page, "issuer");
  });

  test("the account page", async (t) => {
    const { page } = await visitor(t);
    await page.goto(`${stand.issuer}/account`);
    await fillIn(page, account("mary").username, account("mary").password);
    await page.getByRole("heading", { name: "Your account" }).waitFor();
    await audit(page, "account");

    await page.getByRole("link", { name: "Change your password" }).click();
    await page.getByLabel("Password until now").fill("wrong");
    await page.getByLabel("New password").fill("a long enough passphrase");
    await page.getByLabel("The same again").fill("another passphrase");
    await page.getByRole("button", { name: "Save the password" }).click();
    await page.getByRole("alert").waitFor();
    await audit(page, "password");
  });

  test("the pages of who is signed in", async (t) => {
    const { page } = await signedIn(t, "alice");
    await page.getByRole("article", { name: "Oakland" }).waitFor();
    await audit(page, "home");

    const { Oakland } = await systemsOf(page);
    await page.goto(`/systems/${Oakland.id}`);
    await page.getByRole("region", { name: "Timeline" }).getByRole("listitem").first().waitFor();
    await audit(page, "system");

    await page.goto("/notifications");
    await page.locator(".messages, .empty").first().waitFor();
    await audit(page, "notifications");

    await page.goto("/nowhere");
    await page.getByRole("heading", { name: "Not found" }).waitFor();
    await audit(page, "not-found");
  });

  test("the home of who has no rights", async (t) => {
    const { page } = await signedIn(t, "eve");
    await page.getByText("No systems yet").waitFor();
    await audit(page, "empty");
  });
});
