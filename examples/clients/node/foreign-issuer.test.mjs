// A RealGuardIO that trusts an OpenID Provider that others wrote: its services take that provider's access tokens, JWTs and
// opaque ones, and its gateway signs people in there. All of it by a file and flags.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { it } from "node:test";
import { Provider } from "oidc-provider";
import { installation } from "./support/installation.mjs";
import { person } from "./support/person.mjs";
import { eventually, listen } from "./support/stand.mjs";

const secret = "a-secret-of-the-two-of-them";
const callback = "http://localhost:1/callback"; // of an application that is asked for nothing

const trusted = (issuer) => `- name: elsewhere
  issuer: ${issuer}
  audiences: [urn:realguardio:api]
  roles: {rename: {staff-admin: REALGUARDIO_ADMIN}}
  scopes: {allow: [customer.read]}
  introspection: {client-id: realguardio, client-secret-file: DIR/secret, remember: 1s}
`;

// What access tokens can be asked for: by its name in the path, its form and whom it is for.
const resource = (name) => `https://api.example/${name}`;
const resources = {
  [resource("signed")]: { accessTokenFormat: "jwt", audience: "urn:realguardio:api" },
  [resource("opaque")]: { accessTokenFormat: "opaque", audience: "urn:realguardio:api" },
  [resource("short")]: { accessTokenFormat: "jwt", audience: "urn:realguardio:api", accessTokenTTL: 31 },
  [resource("another")]: { accessTokenFormat: "jwt", audience: "urn:another:api" },
};

/** elsewhere is the provider. One of its people, kim, has a role. */
function elsewhere(issuer, { gateway } = {}) {
  const provider = new Provider(issuer, {
    clients: [
      { client_id: "realguardio", client_secret: secret, redirect_uris: [], response_types: [], grant_types: [] },
      { client_id: "job", client_secret: secret, redirect_uris: [], response_types: [], grant_types: ["client_credentials"] },
      { client_id: "application", client_secret: secret, redirect_uris: [callback], grant_types: ["authorization_code", "refresh_token"] },
      {
        client_id: "gateway",
        client_secret: secret,
        redirect_uris: [`${gateway ?? issuer}/api/auth/callback/realguardio`],
        post_logout_redirect_uris: [`${gateway ?? issuer}/`],
        backchannel_logout_uri: `${gateway ?? issuer}/api/auth/backchannel-logout`,
        backchannel_logout_session_required: true,
        grant_types: ["authorization_code", "refresh_token"],
      },
    ],
    scopes: ["openid", "offline_access", "customer.read", "admin"],
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    fetch: (url, { dispatcher, ...options }) => fetch(url, options), // of its own accord it calls nobody on this machine
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of Elsewhere`, email: `${id}@mail.example`, email_verified: true }) }),
    extraTokenClaims: (_, token) => ({ roles: token.accountId === "kim" ? ["staff-admin", "REALGUARDIO_ADMIN"] : ["REALGUARDIO_ADMIN"] }),
    features: {
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: { enabled: true, getResourceServerInfo: (_, asked) => ({ scope: "customer.read admin", jwt: { sign: { alg: "RS256" } }, ...resources[asked] }) },
      revocation: { enabled: true, allowedPolicy: () => true },
    },
  });
  provider.refreshed = 0;
  provider.on("grant.success", (ctx) => (provider.refreshed += ctx.oidc.params.grant_type === "refresh_token" ? 1 : 0));
  return provider;
}

const basic = (id) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}`, "content-type": "application/x-www-form-urlencoded" });

/** post sends a form as a client of the provider. */
async function post(url, client, form) {
  const response = await fetch(url, { method: "POST", headers: basic(client), body: new URLSearchParams(form) });
  const text = await response.text();
  assert.ok(response.ok, `${url}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

/** tokens are what somebody of the provider gets who signs in there to an application. */
async function tokens(issuer, login, name) {
  const verifier = randomBytes(32).toString("base64url");
  const asked = new URLSearchParams({
    client_id: "application",
    response_type: "code",
    redirect_uri: callback,
    scope: "openid profile offline_access customer.read admin",
    prompt: "consent",
    resource: resource(name),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const arrived = await enter(await person("mary").go(`${issuer}/auth?${asked}`, { until: callback }), login);
  const code = arrived.url.searchParams.get("code");
  return post(`${issuer}/token`, "application", { grant_type: "authorization_code", code, redirect_uri: callback, code_verifier: verifier, resource: resource(name) });
}

/** enter signs in at the provider's page, and consents. */
const enter = async (page, login) => (await page.press("Sign-in", { login, password: "any" })).press("Continue");

/** customers asks a service, through the gateway, for the customers that a caller may see. */
async function customers(stand, token) {
  const response = await fetch(`${stand.gateway}/api/v1/customers`, { headers: { authorization: `Bearer ${token}` } });
  const answer = await response.json();
  return response.ok ? answer.customers.length : response.status;
}

it("takes another provider's access tokens, as far as the file says, and none of its other tokens", { timeout: 120_000 }, async (t) => {
  let provider;
  const issuer = await listen(t, (request, response) => provider.callback()(request, response));
  provider = elsewhere(issuer);
  const stand = await installation(t, { secret, "issuers.yaml": trusted(issuer) }, "--trusted-issuers-file", "DIR/issuers.yaml");
  const sees = (token) => customers(stand, token);

  const kim = await tokens(issuer, "kim", "signed");
  assert.equal(JSON.parse(atob(kim.access_token.split(".")[1])).sub, "kim");
  assert.ok((await sees(kim.access_token)) > 0, "a role that the file translates");
  const lee = await tokens(issuer, "lee", "signed");
  assert.equal(await sees(lee.access_token), 0, "a role that is called as ours");
  const job = await post(`${issuer}/token`, "job", { grant_type: "client_credentials", scope: "customer.read", resource: resource("signed") });
  assert.equal(await sees(job.access_token), 0, "a client on its own");
  const none = await post(`${issuer}/token`, "job", { grant_type: "client_credentials", scope: "admin", resource: resource("signed") });
  assert.equal(await sees(none.access_token), 403, "a scope that the file does not allow");

  const opaque = await tokens(issuer, "kim", "opaque");
  assert.ok(!opaque.access_token.includes("."));
  assert.ok((await sees(opaque.access_token)) > 0, "an opaque token");
  assert.equal(await sees((await tokens(issuer, "lee", "opaque")).access_token), 0, "an opaque token of somebody without a role");

  assert.equal(await sees(kim.id_token), 401, "an ID token");
  assert.equal(await sees(kim.refresh_token), 401, "a refresh token");
  assert.equal(await sees((await tokens(issuer, "kim", "another")).access_token), 401, "a token for another audience");
  assert.equal(await sees(`${opaque.access_token}x`), 401, "an opaque token that there is not");

  await post(`${issuer}/token/revocation`, "application", { token: opaque.access_token });
  await eventually(async () => (await sees(opaque.access_token)) === 401);
});

it("signs people in at another provider, renews their tokens, and signs them out with it", { timeout: 120_000 }, async (t) => {
  let provider;
  const issuer = await listen(t, (request, response) => provider.callback()(request, response));
  provider = elsewhere(issuer);
  const signIn = ["--sign-in-issuer", "elsewhere", "--sign-in-client-id", "gateway", "--sign-in-client-secret-file", "DIR/secret"];
  const scopes = ["--sign-in-scope", "openid,profile,email,offline_access,customer.read", "--sign-in-resource", resource("short"), "--sign-in-parameter", "prompt=consent"];
  const stand = await installation(t, { secret, "issuers.yaml": trusted(issuer) }, "--trusted-issuers-file", "DIR/issuers.yaml", ...signIn, ...scopes);
  provider = elsewhere(issuer, stand);
  const { go } = person("mary");
  const read = async (path) => JSON.parse((await go(`${stand.gateway}${path}`)).text);
  const form = async (path) => {
    const { csrfToken } = await read("/api/auth/csrf");
    const body = new URLSearchParams({ csrfToken, callbackUrl: "/" });
    return go(`${stand.gateway}${path}`, { method: "POST", body, headers: { origin: stand.gateway } });
  };
  const leave = ({ text }) => {
    const [, action, xsrf] = /action="([^"]+)"><input type="hidden" name="xsrf" value="([^"]+)"/.exec(text);
    return go(action, { method: "POST", body: new URLSearchParams({ xsrf, logout: "yes" }), headers: { origin: issuer } });
  };
  const enterHere = async () => enter(await form("/api/auth/signin/realguardio"), "kim");

  await enterHere();
  const { user, roles } = await read("/api/auth/session");
  assert.deepEqual({ user, roles }, { user: { sub: "elsewhere:kim", name: "kim of Elsewhere", email: "kim@mail.example" }, roles: ["REALGUARDIO_ADMIN"] });
  await eventually(async () => (await read("/api/v1/customers")).customers.length > 0 && provider.refreshed > 0); // tokens live for a second more than is left to them

  await leave(await form("/api/auth/signout")); // the provider asks
  assert.deepEqual(await read("/api/auth/session"), {});

  await enterHere();
  assert.equal((await read("/api/auth/session")).user.sub, "elsewhere:kim");
  await leave(await go(`${issuer}/session/end`)); // the provider tells the gateway
  await eventually(async () => Object.keys(await read("/api/auth/session")).length === 0);
});
