// Tokens that are of no use to who steals them: bound to a key by DPoP (RFC 9449), or to a certificate (RFC 8705).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { before, describe, it } from "node:test";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { person } from "./support/person.mjs";
import { account, issuer, register, stand } from "./support/stand.mjs";

const secure = issuer.protocol === "https:";
const http = { [oauth.allowInsecureRequests]: !secure };
const home = "http://localhost:3999/";
const redirect_uri = `${home}callback`;
const website = ["--grant", "authorization_code,refresh_token", "--scope", "openid,email,offline_access", "--redirect-uri", redirect_uri];

let server; // what discovery says of the issuer
before(async () => {
  server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
});

const thumbprint = (jwt) => JSON.parse(Buffer.from(jwt.split(".")[1], "base64url")).cnf;

/** retrying does something again that was refused for want of the nonce that came with the refusal. */
async function retrying(attempt, refusals = []) {
  try {
    return await attempt();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    refusals.push(error);
    return attempt();
  }
}

describe("bound tokens", { concurrency: 4 }, () => {
  for (const [kind, flags, authentication] of [
    ["a client with a secret", [], oauth.ClientSecretBasic],
    ["a client without", ["--public"], oauth.None],
  ]) {
    it(`are got, used and renewed by ${kind}, with oauth4webapi`, async (t) => {
      const { client_id, client_secret } = await register(t, ...website, ...flags, "--dpop-bound", "--require-pushed-requests");
      const client = { client_id };
      const auth = authentication(client_secret);
      const keys = await oauth.generateKeyPair("ES256");
      const options = { ...http, DPoP: oauth.DPoP(client, keys) };
      const refusals = [];

      const verifier = oauth.generateRandomCodeVerifier();
      const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
      const parameters = {
        response_type: "code",
        redirect_uri,
        scope: "openid email offline_access",
        state,
        nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256",
      };
      const pushed = await retrying(async () => {
        const response = await oauth.pushedAuthorizationRequest(server, client, auth, parameters, options);
        return oauth.processPushedAuthorizationResponse(server, client, response);
      }, refusals);
      const query = new URLSearchParams({ client_id, request_uri: pushed.request_uri });
      let page = await (await person("mary").go(`${server.authorization_endpoint}?${query}`, { until: redirect_uri })).signIn();
      if (page.text) page = await page.press("Allow");
      const answer = oauth.validateAuthResponse(server, client, page.url, state);

      const redeem = async (options) => {
        const response = await oauth.authorizationCodeGrantRequest(server, client, auth, answer, redirect_uri, verifier, options);
        return oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce, requireIdToken: true });
      };
      // The code is for the key that pushed the request.
      const other = { ...http, DPoP: oauth.DPoP(client, await oauth.generateKeyPair("ES256")) };
      await assert.rejects(retrying(() => redeem(other)), (thrown) => thrown.error === "invalid_grant");
      const tokens = await retrying(() => redeem(options));
      assert.equal(tokens.token_type, "dpop");
      assert.deepEqual(thumbprint(tokens.access_token), { jkt: await options.DPoP.calculateThumbprint() });

      const { sub } = oauth.getValidatedIdTokenClaims(tokens);
      const read = async (options) =>
        oauth.processUserInfoResponse(server, client, sub, await oauth.userInfoRequest(server, client, tokens.access_token, options));
      assert.equal((await retrying(() => read(options))).email, account("mary").username);
      await assert.rejects(read(http), (thrown) => thrown.status === 401 && thrown.cause[0].scheme === "dpop", "as a bearer token it is refused");
      await assert.rejects(retrying(() => read(other)), (thrown) => thrown.cause[0].parameters.error === "invalid_dpop_proof");

      const refresh = async (options) =>
        oauth.processRefreshTokenResponse(server, client, await oauth.refreshTokenGrantRequest(server, client, auth, tokens.refresh_token, options));
      await assert.rejects(refresh(http), (thrown) => thrown.error === "invalid_dpop_proof");
      const renewed = await retrying(() => refresh(options));
      assert.deepEqual(thumbprint(renewed.access_token), thumbprint(tokens.access_token));
      t.diagnostic(`asked for a nonce ${refusals.length} times`);
    });
  }

  it("are got and used with openid-client, which sees to nonces itself", async (t) => {
    const { client_id, client_secret } = await register(t, ...website, "--dpop-bound");
    const execute = secure ? [] : [openid.allowInsecureRequests];
    const config = await openid.discovery(issuer, client_id, client_secret, undefined, { execute });
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair("EdDSA"));
    const pkceCodeVerifier = openid.randomPKCECodeVerifier();
    const expectedState = openid.randomState();
    const parameters = {
      redirect_uri,
      scope: "openid email offline_access",
      state: expectedState,
      code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: "S256",
    };
    const url = await openid.buildAuthorizationUrlWithPAR(config, parameters, { DPoP });
    let page = await (await person("mary").go(url, { until: redirect_uri })).signIn();
    if (page.text) page = await page.press("Allow");
    const tokens = await openid.authorizationCodeGrant(config, page.url, { pkceCodeVerifier, expectedState }, undefined, { DPoP });
    assert.equal(tokens.token_type, "dpop");
    const { email } = await openid.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP });
    assert.equal(email, account("mary").username);
    const renewed = await openid.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
    assert.equal(renewed.token_type, "dpop");
  });

  it("are bound to the certificate of the connection", { skip: !secure && "certificates are shown over TLS only" }, async (t) => {
    const machine = ["--grant", "client_credentials", "--scope", "customer.read"];
    const { client_id } = await register(t, ...machine, "--tls-san-uri", "spiffe://realguardio/client", "--certificate-bound");
    const client = { client_id, use_mtls_endpoint_aliases: true };
    const own = { cert: readFileSync(stand.client_cert_file), key: readFileSync(stand.client_key_file), ca: readFileSync(stand.ca_file) };
    const ask = async (shown) => {
      const options = { [oauth.customFetch]: (url, init) => fetchWith(shown, url, init) };
      const response = await oauth.clientCredentialsGrantRequest(server, client, oauth.TlsClientAuth(), {}, options);
      return oauth.processClientCredentialsResponse(server, client, response);
    };
    const { access_token, token_type } = await ask(own);
    assert.equal(token_type, "bearer");
    assert.equal(Object.keys(thumbprint(access_token))[0], "x5t#S256");
    await assert.rejects(ask({ ca: own.ca }), (thrown) => thrown.error === "invalid_client", "without a certificate");
  });
});

/** fetchWith is fetch that shows a certificate. */
function fetchWith(tls, url, { method, headers, body }) {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, ...tls, agent: false }, async (received) => {
      const chunks = await received.toArray();
      resolve(new Response(Buffer.concat(chunks), { status: received.statusCode, headers: new Headers(Object.entries(received.headers)) }));
    });
    sent.on("error", reject).end(String(body));
  });
}
