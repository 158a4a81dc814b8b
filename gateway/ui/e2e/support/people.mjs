// What people do in the browser, in the words of the pages.
import { visitor } from "./browser.mjs";
import { account } from "./stand.mjs";

/** fillIn answers the sign-in page that the browser is on. */
export async function fillIn(page, username, password) {
  await page.getByLabel(/e-?mail|user ?name/i).fill(username);
  await page.getByLabel(/password/i).fill(password);
  await page.getByRole("button", { name: /sign in|log in|continue/i }).click();
}

/** signIn goes from the gateway's page that the browser is on, through Login, back to it. */
export async function signIn(page, name, password = account(name).password) {
  await page.getByRole("button", { name: "Login" }).click();
  await fillIn(page, account(name).username, password);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** What an account's browser keeps after signing in, by account. */
const kept = new Map();

/**
 * signedIn is a new visitor who is signed in as a demo account and sees the home page. Within a test file, an account
 * signs in once and its session is used again: a test that ends it, or is about it, takes signedInAnew.
 */
export async function signedIn(t, name) {
  if (!kept.has(name)) {
    const who = await signedInAnew(t, name);
    kept.set(name, await who.context.storageState());
    return who;
  }
  const who = await visitor(t, { storageState: kept.get(name) });
  await who.page.goto("/");
  await who.page.getByRole("button", { name: "Sign out" }).waitFor();
  return who;
}

/** signedInAnew is signedIn with a session of its own. */
export async function signedInAnew(t, name) {
  const who = await visitor(t);
  await who.page.goto("/");
  await signIn(who.page, name);
  return who;
}

/** deaf loads the page again so that it is told of no changes, and asks for them itself. */
export async function deaf(page) {
  await page.route("**/api/v1/securitysystems:watch", (route) => route.abort());
  await page.reload();
}

/** cards are the systems on the home page once they are loaded: name, state and the actions that are offered. */
export async function cards(page) {
  await page.locator("article.system-card, .empty").first().waitFor();
  return page.locator("article.system-card").evaluateAll((articles) =>
    articles.map((article) => ({
      name: article.querySelector("h3").textContent,
      state: article.dataset.state,
      actions: [...article.querySelectorAll("button")].map((button) => button.textContent.replace(/\s+/g, " ").trim()),
    })),
  );
}

export function card(page, location) {
  return page.getByRole("article", { name: location });
}
