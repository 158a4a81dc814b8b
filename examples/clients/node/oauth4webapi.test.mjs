import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import * as oauth from "oauth4webapi";
import { api } from "./oauth4webapi/api.mjs";
import { person } from "./support/person.mjs";
import { account, issuer, keyPair, listen, register } from "./support/stand.mjs";

const http = { [oauth.allowInsecureRequests]: issuer.protocol === "http:" };

const home = "http://localhost:3999/";
const redirect_uri = `${home}callback`;
const website = ["--grant", "authorization_code,refresh_token", "--scope", "openid,profile,email,offline_access"];
const machine = ["--grant", "client_credentials", "--scope", "customer.read,securitysystem.read"];

let server; // what discovery says of the issuer
before(async () => {
  server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
});

/** enrol registers a client. `auth` makes its authentication, of its secret if it has one. */
async function enrol(t, flags, auth = oauth.ClientSecretBasic) {
  const { client_id, client_secret } = await register(t, ...flags, "--redirect-uri", redirect_uri, "--post-logout-redirect-uri", home);
  return { client: { client_id }, auth: auth(client_secret) };
}

/** signIn has somebody sign in, and returns the tokens, whose every claim and signature the library has checked. */
async function signIn({ client, auth }, somebody, { push } = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const { client_id } = client;
  const parameters = {
    response_type: "code",
    client_id,
    redirect_uri,
    scope: "openid profile email offline_access",
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  };
  const query = push ? { client_id, request_uri: (await push(parameters)).request_uri } : parameters;
  let page = await somebody.go(`${server.authorization_endpoint}?${new URLSearchParams(query)}`, { until: redirect_uri });
  page = await page.signIn();
  if (page.text) page = await page.press("Allow");
  const answer = oauth.validateAuthResponse(server, client, page.url, state);
  const response = await oauth.authorizationCodeGrantRequest(server, client, auth, answer, redirect_uri, verifier, http);
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce, requireIdToken: true });
  await oauth.validateApplicationLevelSignature(server, response, http);
  return { ...tokens, claims: oauth.getValidatedIdTokenClaims(tokens) };
}

async function refresh({ client, auth }, token) {
  return oauth.processRefreshTokenResponse(server, client, await oauth.refreshTokenGrantRequest(server, client, auth, token, http));
}

async function introspect({ client, auth }, token) {
  return oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, auth, token, http));
}

async function revoke({ client, auth }, token) {
  await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, token, http));
}

async function ownToken({ client, auth }, parameters) {
  return oauth.processClientCredentialsResponse(server, client, await oauth.clientCredentialsGrantRequest(server, client, auth, parameters, http));
}

async function device({ client, auth }) {
  return oauth.processDeviceAuthorizationResponse(
    server,
    client,
    await oauth.deviceAuthorizationRequest(server, client, auth, { scope: "openid offline_access" }, http),
  );
}

async function poll({ client, auth }, { device_code }) {
  return oauth.processDeviceCodeResponse(server, client, await oauth.deviceCodeGrantRequest(server, client, auth, device_code, http));
}

const refused = (error) => (thrown) => thrown instanceof oauth.ResponseBodyError && thrown.error === error;

describe("oauth4webapi", { concurrency: 4 }, () => {
  it("finds the issuer's metadata where RFC 8414 has it, too", async () => {
    const found = await oauth.discoveryRequest(issuer, { ...http, algorithm: "oauth2" });
    assert.deepEqual(await oauth.processDiscoveryResponse(issuer, found), server);
  });

  it("signs in by code, PKCE and nonce, and verifies the ID token's signature", async (t) => {
    const { claims, token_type } = await signIn(await enrol(t, website), person("mary"));
    assert.equal(claims.sub, account("mary").sub);
    assert.equal(token_type, "bearer");
  });

  it("signs in without a secret", async (t) => {
    const { claims } = await signIn(await enrol(t, [...website, "--public"], oauth.None), person("mary"));
    assert.equal(claims.sub, account("mary").sub);
  });

  it("pushes its request", async (t) => {
    const rp = await enrol(t, [...website, "--require-pushed-requests"]);
    const push = async (parameters) =>
      oauth.processPushedAuthorizationResponse(
        server,
        rp.client,
        await oauth.pushedAuthorizationRequest(server, rp.client, rp.auth, parameters, http),
      );
    const { claims } = await signIn(rp, person("mary"), { push });
    assert.equal(claims.sub, account("mary").sub);
    await assert.rejects(push({ response_type: "code", redirect_uri: "https://elsewhere.example/" }), refused("invalid_request"));
  });

  it("takes the answer of no other issuer", async (t) => {
    const { client } = await enrol(t, website);
    const parameters = { response_type: "code", client_id: client.client_id, redirect_uri, scope: "openid", state: "s", prompt: "none" };
    const code_challenge = await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier());
    const url = `${server.authorization_endpoint}?${new URLSearchParams({ ...parameters, code_challenge, code_challenge_method: "S256" })}`;
    const answer = (await person("mary").go(url, { until: redirect_uri })).url;
    const check = () => oauth.validateAuthResponse(server, client, answer, "s");
    assert.throws(check, (thrown) => thrown instanceof oauth.AuthorizationResponseError && thrown.error === "login_required");
    answer.searchParams.set("iss", "https://other.example");
    assert.throws(check, (thrown) => thrown.code === oauth.INVALID_RESPONSE);
    answer.searchParams.delete("iss"); // which discovery says is always there (RFC 9207)
    assert.throws(check, (thrown) => thrown.code === oauth.INVALID_RESPONSE);
  });

  it("renews tokens, and loses them all when an old one is shown", async (t) => {
    const rp = await enrol(t, website);
    const first = await signIn(rp, person("mary"));
    const second = await refresh(rp, first.refresh_token);
    const third = await refresh(rp, second.refresh_token);
    await assert.rejects(refresh(rp, first.refresh_token), refused("invalid_grant"));
    await assert.rejects(refresh(rp, third.refresh_token), refused("invalid_grant"));
  });

  it("reads UserInfo", async (t) => {
    const rp = await enrol(t, website);
    const { access_token, claims } = await signIn(rp, person("alice"));
    const read = async (subject) =>
      oauth.processUserInfoResponse(server, rp.client, subject, await oauth.userInfoRequest(server, rp.client, access_token, http));
    assert.equal((await read(claims.sub)).email, account("alice").username);
    await assert.rejects(read("somebody else"));
  });

  it("gets a token in its own name, by either way to bring a secret", async (t) => {
    for (const auth of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
      const rp = await enrol(t, machine, auth);
      assert.equal((await ownToken(rp, { scope: "customer.read" })).scope, "customer.read");
      await assert.rejects(ownToken({ ...rp, auth: auth("wrong") }, {}), (thrown) => thrown.status === 401);
    }
  });

  it("gets a token in its own name by a key of its own, each proof of which is good once", async (t) => {
    const { key, kid, file } = await keyPair(t, "ES256");
    let jti; // of the first proof, which the library is made to use again
    const once = { [oauth.modifyAssertion]: (_, proof) => (proof.jti = jti ??= proof.jti) };
    const rp = await enrol(t, [...machine, "--jwks-file", file], () => oauth.PrivateKeyJwt({ key, kid }, once));
    assert.ok((await ownToken(rp, {})).access_token);
    await assert.rejects(ownToken(rp, {}), refused("invalid_client"));
  });

  it("introspects and revokes", async (t) => {
    const rp = await enrol(t, website);
    const { access_token, refresh_token, claims } = await signIn(rp, person("mary"));
    assert.equal((await introspect(rp, access_token)).sub, claims.sub);
    assert.deepEqual(await introspect(await enrol(t, website), access_token), { active: false }, "nobody else is told");
    await revoke(rp, refresh_token);
    assert.deepEqual(await introspect(rp, access_token), { active: false });
    await assert.rejects(refresh(rp, refresh_token), refused("invalid_grant"));
    await revoke(rp, "what never was a token"); // is no error (RFC 7009, section 2.2)
  });

  it("polls for a device, and is told to wait, to wait longer, and no", async (t) => {
    const grant = "urn:ietf:params:oauth:grant-type:device_code";
    const rp = await enrol(t, ["--grant", `${grant},refresh_token`, "--scope", "openid,offline_access"]);
    const waiting = await device(rp);
    await assert.rejects(poll(rp, waiting), refused("authorization_pending"));
    await assert.rejects(poll(rp, waiting), refused("slow_down"));
    const unwanted = await device(rp);
    const asked = await (await person("mary").go(unwanted.verification_uri_complete)).signIn();
    await (await asked.press("Continue")).press("Deny");
    await assert.rejects(poll(rp, unwanted), refused("access_denied"));
    const wanted = await device(rp);
    const connecting = await (await person("mary").go(wanted.verification_uri_complete)).signIn();
    await (await connecting.press("Continue")).press("Allow");
    const tokens = await poll(rp, wanted);
    assert.equal(oauth.getValidatedIdTokenClaims(tokens).sub, account("mary").sub);
    await assert.rejects(poll(rp, wanted), refused("invalid_grant"));
  });

  it("verifies access tokens, for an API of one's own", async (t) => {
    const origin = await listen(t, await api({ issuer, audience: "urn:realguardio:api", scope: "securitysystem.read" }));
    const asking = async (token) => {
      const response = await fetch(origin, { headers: token ? { authorization: `Bearer ${token}` } : {} });
      return { status: response.status, challenge: response.headers.get("www-authenticate"), ...(await response.json()) };
    };
    t.mock.method(console, "error", () => {});
    for (const alg of ["RS256", "EdDSA", "ES256"]) {
      const rp = await enrol(t, [...machine, "--access-token-alg", alg]);
      const { access_token } = await ownToken(rp, { scope: "securitysystem.read" });
      assert.deepEqual(await asking(access_token), { status: 200, challenge: null, hello: rp.client.client_id, by: rp.client.client_id }, alg);
    }
    const rp = await enrol(t, machine);
    const { access_token } = await ownToken(rp, { scope: "securitysystem.read" });

    assert.equal((await asking()).challenge, "Bearer");
    assert.equal((await asking((await ownToken(rp, { scope: "customer.read" })).access_token)).error, "insufficient_scope");
    const [header, payload, signature] = access_token.split(".");
    const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, "base64url")), sub: "admin" })).toString("base64url");
    assert.equal((await asking(`${header}.${forged}.${signature}`)).error, "invalid_token");
    const { id_token } = await signIn(await enrol(t, website), person("mary"));
    assert.equal((await asking(id_token)).error, "invalid_token", "an ID token opens nothing");
  });
});
