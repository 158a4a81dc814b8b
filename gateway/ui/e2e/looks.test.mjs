// Every page in every width and both colour schemes: nothing sticks out, and an audit of its accessibility finds nothing.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { before, describe, test } from "node:test";
import { systemsOf } from "./support/api.mjs";
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
