// The eleven steps of signing in with the authorization code flow, each by the name it has in the architecture: the React
// UI, its backend for frontend (BFF, the gateway) and the identity and access management service (IAM, the token service).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { call } from "./support/api.mjs";
import { shot, visitor } from "./support/browser.mjs";
import { account, stand } from "./support/stand.mjs";

describe("the login flow", () => {
  test("walks its eleven steps", async (t) => {
    const { page, context } = await visitor(t);
    const traffic = record(page);
    const mary = account("mary");
    let authorizationURL;

    await t.test("1. React UI fetches the authorization URL from the BFF and tells the browser to go there", async () => {
      await page.goto("/");
      // Read on its way: an answer's body is gone once the browser has left the page that asked for it.
      await page.route("**/api/auth/signin/realguardio", async (route) => {
        const response = await route.fetch();
        authorizationURL = new URL((await response.json()).url);
        await route.fulfill({ response });
      });
      await page.getByRole("button", { name: "Login" }).click();
      await page.getByLabel(/password/i).waitFor();
      const query = Object.fromEntries(authorizationURL.searchParams);
      assert.equal(authorizationURL.origin, stand.issuer);
      assert.equal(query.response_type, "code");
      assert.equal(query.client_id, "realguardio-web");
      assert.equal(query.redirect_uri, `${stand.gateway}/api/auth/callback/realguardio`);
      assert.equal(query.code_challenge_method, "S256");
      assert.ok(query.state && query.nonce && query.code_challenge);
      assert.ok(query.scope.split(" ").includes("openid"));
      assert.equal(query.client_secret, undefined);
      assert.equal(query.code_verifier, undefined);
    });

    let authorize;
    await t.test("2. Browser opens the IAM's authorization endpoint", async () => {
      authorize = traffic.find((each) => each.url.href === authorizationURL.href);
      assert.equal(authorize.method, "GET");
      assert.ok(authorize.navigation);
    });

    await t.test("3. IAM redirects the browser to the login page", async () => {
      const answer = await authorize.answer();
      assert.match(String(answer.status), /^30[23]$/);
      const login = new URL(answer.headers.location, stand.issuer);
      assert.equal(login.origin, stand.issuer);
      assert.equal(page.url(), login.href);
      await shot(page, "flow-03-login");
    });

    await t.test("4. User enters their credentials", async () => {
      await page.getByLabel(/e-?mail|user ?name/i).fill(mary.username);
      await page.getByLabel(/password/i).fill(mary.password);
    });

    let posted;
    await t.test("5. Browser POSTs the credentials to the IAM, and to nobody else", async () => {
      await page.getByRole("button", { name: /sign in|log in|continue/i }).click();
      await page.getByRole("button", { name: "Sign out" }).waitFor();
      const withPassword = traffic.filter((each) => each.body.includes(mary.password) || each.url.href.includes(mary.password));
      assert.equal(withPassword.length, 1);
      [posted] = withPassword;
      assert.equal(posted.method, "POST");
      assert.equal(posted.url.origin, stand.issuer);
      assert.doesNotMatch(posted.url.href, new RegExp(mary.password));
    });

    let revisit;
    await t.test("6. IAM verifies them and redirects the browser to revisit the authorization endpoint", async () => {
      const answer = await posted.answer();
      assert.match(String(answer.status), /^30[23]$/);
      const set = answer.cookies.filter((line) => !/Max-Age=0/i.test(line));
      assert.ok(set.length > 0, "a login session is opened");
      for (const line of set) assert.match(line, /HttpOnly/i);
      revisit = traffic.find((each) => each.after === posted);
      assert.equal(revisit.url.href, new URL(answer.headers.location, stand.issuer).href);
      assert.equal(withoutQuery(revisit.url.href), withoutQuery(authorizationURL.href));
      assert.equal(revisit.method, "GET");
      assert.equal(revisit.url.searchParams.get("code"), null, "the login page gives no code");
      const again = await context.request.get(revisit.url.href, { maxRedirects: 0 });
      assert.equal(again.status(), 403, "once");
    });

    let callback;
    await t.test("7. IAM redirects the browser to the redirect_uri of step 1 with a code", async () => {
      const answer = await revisit.answer();
      assert.match(String(answer.status), /^30[23]$/);
      callback = traffic.find((each) => each.after === revisit);
      assert.equal(callback.url.href, answer.headers.location);
      assert.equal(withoutQuery(callback.url.href), authorizationURL.searchParams.get("redirect_uri"));
      assert.equal(callback.url.searchParams.get("state"), authorizationURL.searchParams.get("state"));
      assert.equal(callback.url.searchParams.get("iss"), stand.issuer);
      assert.ok(callback.url.searchParams.get("code"));
    });

    await t.test("8. BFF redeems the code at the IAM's token endpoint, out of the browser's sight", async () => {
      assert.deepEqual(traffic.filter((each) => each.url.pathname === "/oauth2/token"), []);
      const { status } = await call(page, "GET", "/api/v1/securitysystems");
      assert.equal(status, 200, "the BFF holds an access token, which there is nowhere else to get");
    });

    await t.test("9. IAM returns the ID, access and refresh token to the BFF, and nothing of them to the browser", async () => {
      const { body } = await call(page, "GET", "/api/auth/session");
      assert.equal(body.user.sub, mary.sub, "the BFF knows from the ID token who she is");
      const jwt = /eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/;
      for (const each of traffic) {
        assert.doesNotMatch(each.url.href + each.body, jwt);
        assert.ok(!each.url.href.includes(mary.sub));
      }
      assert.doesNotMatch(JSON.stringify(await context.cookies()), jwt);
    });

    await t.test("10. BFF stores them in the session and redirects to the home page, setting the session cookie", async () => {
      const answer = await callback.answer();
      assert.match(String(answer.status), /^30[23]$/);
      assert.equal(new URL(answer.headers.location, stand.gateway).href, `${stand.gateway}/`);
      const set = answer.cookies.filter((line) => /session/i.test(line.split("=")[0]));
      assert.ok(set.length > 0, "a session cookie is set");
      for (const line of set) assert.match(line, /HttpOnly/i);
    });

    await t.test("11. Browser opens the application's page, which loads the React UI", async () => {
      const home = traffic.find((each) => each.after === callback);
      assert.equal(home.url.href, `${stand.gateway}/`);
      const later = traffic.slice(traffic.indexOf(home)).map((each) => each.url.pathname);
      assert.ok(later.some((path) => path.startsWith("/assets/") && path.endsWith(".js")));
      assert.ok(later.includes("/api/auth/session"));
      assert.ok(later.includes("/api/v1/securitysystems"));
      const calls = traffic.filter((each) => each.url.pathname.startsWith("/api/v1/") && each.traceparent);
      const traces = new Set(calls.map((each) => each.traceparent.match(/^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/)?.[1]));
      assert.ok(calls.length > 0 && traces.size === calls.length && !traces.has(undefined), "each call begins a trace");
      assert.deepEqual(
        traffic.filter((each) => each.traceparent && each.url.origin !== stand.gateway),
        [],
        "which nobody else is told",
      );
      await page.getByRole("article", { name: "Oakland" }).waitFor();
      await shot(page, "flow-11-home");
    });
  });
});

/** record lists the requests of a page from now on; `after` is the one whose answer redirected to it. */
function record(page) {
  const traffic = [];
  const known = new Map();
  page.on("request", (request) => {
    const entry = {
      method: request.method(),
      url: new URL(request.url()),
      traceparent: request.headers().traceparent,
      body: decodeURIComponent((request.postData() ?? "").replaceAll("+", " ")),
      navigation: request.isNavigationRequest(),
      after: known.get(request.redirectedFrom()),
      answer: async () => {
        const response = await request.response();
        const all = await response.headersArray();
        return {
          status: response.status(),
          headers: await response.allHeaders(),
          cookies: all.filter((each) => each.name.toLowerCase() === "set-cookie").map((each) => each.value),
        };
      },
    };
    known.set(request, entry);
    traffic.push(entry);
  });
  return traffic;
}

const withoutQuery = (url) => url.split("?")[0];
