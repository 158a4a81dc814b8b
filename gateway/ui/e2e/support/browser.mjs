// A real browser: visitors with a cookie jar each, and screenshots.
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { chromium } from "playwright-core";
import { stand } from "./stand.mjs";

const candidates = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = process.env.PATH.split(":");
  const found = candidates.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (!found) throw new Error("no Chromium in the PATH: install the package chromium, or set CHROMIUM");
  return found;
}

const browser = await chromium.launch({
  executablePath: executable(),
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
after(() => browser.close());

/**
 * visitor opens a browser context, with a page in it. When test t ends it is closed, and the test fails if a script had
 * thrown, or if the Content-Security-Policy had stopped anything.
 */
export async function visitor(t, options = {}) {
  const context = await browser.newContext({
    baseURL: stand.gateway,
    // The certificates of `realguardio dev --tls` are by an authority of its own, which the browser does not know.
    ignoreHTTPSErrors: stand.gateway.startsWith("https:"),
    locale: "en-GB",
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(10_000);
  const complaints = [];
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  context.on("weberror", (error) => complaints.push(error.error().message));
  context.on("console", (message) => {
    if (/Content Security Policy|Content-Security-Policy/.test(message.text())) complaints.push(message.text());
  });
  const page = await context.newPage();
  return { context, page };
}

/** shot writes a screenshot when REALGUARDIO_SCREENSHOTS names a folder for it. */
export async function shot(page, name) {
  const folder = process.env.REALGUARDIO_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
