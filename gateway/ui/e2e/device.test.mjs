// A device without a browser is connected in one: with a keyboard, without JavaScript.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { visitor } from "./support/browser.mjs";
import { fillIn } from "./support/people.mjs";
import { account, stand } from "./support/stand.mjs";

const client = "realguardio-cli";

async function post(path, form) {
  const response = await fetch(stand.issuer + path, { method: "POST", body: new URLSearchParams({ client_id: client, ...form }) });
  return response.json();
}

const begin = () => post("/oauth2/device_authorization", { scope: "openid securitysystem.read" });
const poll = (begun) =>
  post("/oauth2/token", { grant_type: "urn:ietf:params:oauth:grant-type:device_code", device_code: begun.device_code });

describe("a device", () => {
  for (const javaScriptEnabled of [true, false]) {
    test(`is connected by its code, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async (t) => {
      const begun = await begin();
      const { page } = await visitor(t, { javaScriptEnabled });
      await page.goto(begun.verification_uri);
      await fillIn(page, account("mary").username, account("mary").password);
      await page.getByLabel("Code").fill(begun.user_code.toLowerCase());
      await page.keyboard.press("Enter");
      await page.getByText(begun.user_code, { exact: true }).waitFor();
      assert.equal((await poll(begun)).error, "authorization_pending");
      await page.getByRole("button", { name: "Allow" }).click();
      await page.getByText("Go back to it").waitFor();
      assert.equal((await poll(begun)).scope, "openid securitysystem.read");
    });
  }

  test("has its code typed by the link, and is denied", async (t) => {
    const begun = await begin();
    const { page } = await visitor(t);
    await page.goto(begun.verification_uri_complete);
    await fillIn(page, account("mary").username, account("mary").password);
    assert.equal(await page.getByLabel("Code").inputValue(), begun.user_code);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("button", { name: "Deny" }).click();
    await page.getByText("It gets nothing").waitFor();
    assert.equal((await poll(begun)).error, "access_denied");
  });

  test("has a code of its own: another one is a problem of the field", async (t) => {
    const { page } = await visitor(t);
    await page.goto(`${stand.issuer}/device`);
    await fillIn(page, account("mary").username, account("mary").password);
    await page.getByLabel("Code").fill("BCDF-GHJK");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").waitFor();
    const field = page.getByLabel("Code");
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    assert.equal(await field.inputValue(), "BCDF-GHJK");
  });
});
