import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as client from "openid-client";
import { connect } from "./openid-client/device.mjs";
import { webApplication } from "./openid-client/web-application.mjs";
import { person } from "./support/person.mjs";
import { account, deferred, eventually, issuer, keyPair, listen, register } from "./support/stand.mjs";

const execute = [client.enableNonRepudiationChecks];
if (issuer.protocol === "http:") execute.push(client.allowInsecureRequests);

const website = ["--grant", "authorization_code,refresh_token", "--scope", "openid,profile,email,offline_access"];
const device = "urn:ietf:params:oauth:grant-type:device_code";

/** relyingParty registers a client that returns to an address where nobody needs to listen, and discovers the provider. */
async function relyingParty(t, { flags = website, auth, metadata } = {}) {
  const home = "http://localhost:3999/";
  const redirect_uri = `${home}callback`;
  const registered = await register(t, ...flags, "--redirect-uri", redirect_uri, "--post-logout-redirect-uri", home);
  const { client_id, client_secret } = registered;
  const config = await client.discovery(issuer, client_id, { client_secret, ...metadata }, auth?.(client_secret), { execute });
  return { config, redirect_uri, home };
}

/** signIn has somebody sign in and allow it, and returns what the library makes of the answer. */
async function signIn({ config, redirect_uri }, somebody, { parameters = {}, checks = {}, build = client.buildAuthorizationUrl } = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expected = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), ...checks };
  const url = await build(config, {
    redirect_uri,
    scope: "openid profile email offline_access",
    state: expected.expectedState,
    nonce: expected.expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    ...parameters,
  });
  let page = await somebody.go(url, { until: redirect_uri });
  if (page.text?.includes("Sign in")) page = await page.signIn();
  if (page.text?.includes("Allow")) page = await page.press("Allow");
  if (parameters.response_mode !== "form_post") return client.authorizationCodeGrant(config, page.url, expected);
  const { url: to, sent } = await page.press("Continue");
  return client.authorizationCodeGrant(config, new Request(to, { method: "POST", body: sent }), expected);
}

const algorithmOf = (jwt) => JSON.parse(Buffer.from(jwt.split(".")[0], "base64url")).alg;

const refused = (error) => (thrown) => thrown instanceof client.ResponseBodyError && thrown.error === error;

describe("openid-client", { concurrency: 4 }, () => {
  it("makes a web application that people sign in to and out of", async (t) => {
    let handler;
    const origin = await listen(t, (request, response) => handler(request, response));
    const flags = [...website, "--first-party", "--redirect-uri", `${origin}/callback`, "--post-logout-redirect-uri", `${origin}/`];
    const { client_id: clientId, client_secret: clientSecret } = await register(t, ...flags);
    handler = await webApplication({ issuer, origin, clientId, clientSecret });

    const mary = person("mary");
    const anonymous = await mary.go(origin);
    assert.match(anonymous.text, /Nobody is signed in/);
    const inside = await (await anonymous.press("Log in")).signIn();
    assert.match(inside.text, new RegExp(`Signed in as ${mary.username}`));
    const outside = await inside.press("Log out");
    assert.equal(outside.url.href, `${origin}/`);
    assert.match(outside.text, /Nobody is signed in/);
    const again = await outside.press("Log in");
    assert.match(again.text, /<h1>Sign in/, "signed out at the provider too");
  });

  it("makes a web application that hears of a sign-out elsewhere", async (t) => {
    let handler;
    const origin = await listen(t, (request, response) => handler(request, response));
    const addresses = ["--redirect-uri", `${origin}/callback`, "--backchannel-logout-uri", `${origin}/backchannel-logout`];
    const { client_id: clientId, client_secret: clientSecret } = await register(t, ...website, "--first-party", ...addresses);
    handler = await webApplication({ issuer, origin, clientId, clientSecret });
    const [mary, alice] = [person("mary"), person("alice")];
    for (const one of [mary, alice]) await (await (await one.go(origin)).press("Log in")).signIn();

    const elsewhere = await relyingParty(t, { flags: [...website, "--first-party"] });
    const { id_token } = await signIn(elsewhere, mary);
    await mary.go(client.buildEndSessionUrl(elsewhere.config, { id_token_hint: id_token }));
    await eventually(async () => /Nobody is signed in/.test((await mary.go(origin)).text));
    assert.match((await alice.go(origin)).text, /Signed in as alice/);

    t.mock.method(console, "error", () => {});
    const forged = await fetch(`${origin}/backchannel-logout`, { method: "POST", body: new URLSearchParams({ logout_token: id_token }) });
    assert.equal(forged.status, 400, "an ID token signs nobody out");
  });

  it("signs in by code, PKCE, nonce and max_age, and validates the ID token", async (t) => {
    const tokens = await signIn(await relyingParty(t), person("mary"), { parameters: { max_age: "60" }, checks: { maxAge: 60 } });
    const { sub, aud, sid, auth_time } = tokens.claims();
    assert.equal(sub, account("mary").sub);
    assert.ok(aud && sid && auth_time);
    assert.equal(tokens.token_type, "bearer");
    assert.equal(tokens.expires_in, 300);
  });

  it("authenticates by client_secret_basic and client_secret_post", async (t) => {
    for (const auth of [client.ClientSecretBasic, client.ClientSecretPost]) {
      const rp = await relyingParty(t, { auth });
      assert.ok((await signIn(rp, person("mary"))).claims());
      const wrong = new client.Configuration(rp.config.serverMetadata(), rp.config.clientMetadata().client_id, {}, auth("wrong"));
      execute.forEach((extend) => extend(wrong));
      await assert.rejects(client.refreshTokenGrant(wrong, "any"), (e) => e.status === 401, auth.name);
    }
  });

  it("verifies ID tokens of the algorithm that it registered for, and of no other", async (t) => {
    const registered = { ES256: "--id-token-alg=ES256", RS256: "--id-token-alg=RS256", EdDSA: "--id-token-alg=EdDSA" };
    for (const [alg, flag] of Object.entries(registered)) {
      const rp = await relyingParty(t, { flags: [...website, flag], metadata: { id_token_signed_response_alg: alg } });
      const tokens = await signIn(rp, person("mary"));
      assert.equal(algorithmOf(tokens.id_token), alg);
      const renewed = await client.refreshTokenGrant(rp.config, tokens.refresh_token);
      assert.equal(algorithmOf(renewed.id_token), alg);
    }
    const mistaken = await relyingParty(t, { flags: [...website, registered.RS256], metadata: { id_token_signed_response_alg: "ES256" } });
    await assert.rejects(signIn(mistaken, person("mary")), (thrown) => thrown.code === "OAUTH_INVALID_RESPONSE");
  });

  it("pushes its request, and the provider takes no other from it", async (t) => {
    const rp = await relyingParty(t, { flags: [...website, "--require-pushed-requests"] });
    const tokens = await signIn(rp, person("mary"), { build: client.buildAuthorizationUrlWithPAR });
    assert.equal(tokens.claims().sub, account("mary").sub);
    await assert.rejects(signIn(rp, person("mary")), (thrown) => thrown.error === "invalid_request");
  });

  it("takes its answer from a form", async (t) => {
    const tokens = await signIn(await relyingParty(t), person("mary"), { parameters: { response_mode: "form_post" } });
    assert.equal(tokens.claims().sub, account("mary").sub);
  });

  it("may use the deprecated grants if it registered for them, and else not", async (t) => {
    const scope = ["--scope", "openid,profile,email"];
    const implicit = await relyingParty(t, { flags: ["--grant", "implicit", ...scope] });
    for (const { config, redirect_uri } of [implicit, await relyingParty(t)]) {
      client.useIdTokenResponseType(config);
      const [state, nonce] = [client.randomState(), client.randomNonce()];
      const url = client.buildAuthorizationUrl(config, { redirect_uri, scope: "openid", state, nonce });
      const page = await person("mary").go(url, { until: redirect_uri });
      const answer = page.text ? await (await page.signIn()).press("Allow") : page;
      const claims = client.implicitAuthentication(config, answer.url, nonce, { expectedState: state });
      if (config === implicit.config) assert.equal((await claims).sub, account("mary").sub);
      else await assert.rejects(claims, (thrown) => thrown.error === "unauthorized_client");
    }

    const { username, password } = account("mary");
    const trusted = await relyingParty(t, { flags: ["--grant", "password,refresh_token", ...scope, "--first-party"] });
    const tokens = await client.genericGrantRequest(trusted.config, "password", { username, password, scope: "email" });
    assert.equal((await client.tokenIntrospection(trusted.config, tokens.access_token)).sub, account("mary").sub);
    const other = await relyingParty(t);
    await assert.rejects(client.genericGrantRequest(other.config, "password", { username, password }), refused("unauthorized_client"));
  });

  it("is told of what is not offered: signed answers and signed requests", async (t) => {
    const { config, redirect_uri } = await relyingParty(t);
    const code_challenge = await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier());
    const parameters = { redirect_uri, scope: "openid", code_challenge, code_challenge_method: "S256" };
    const { key, kid } = await keyPair(t, "ES256");
    const signed = await client.buildAuthorizationUrlWithJAR(config, { ...parameters, state: "s" }, { key, kid });
    signed.searchParams.set("redirect_uri", redirect_uri);
    for (const [url, error] of [
      [client.buildAuthorizationUrl(config, { ...parameters, response_mode: "jwt" }), "invalid_request"],
      [signed, "request_not_supported"],
    ]) {
      const answer = await person("mary").go(url, { until: redirect_uri });
      assert.equal(answer.url.searchParams.get("error"), error, answer.text);
      assert.equal(answer.url.searchParams.get("iss"), config.serverMetadata().issuer);
    }
  });

  it("gets nothing for a code without its own verifier", async (t) => {
    const rp = await relyingParty(t);
    let used;
    const keep = (config, parameters) => client.buildAuthorizationUrl(config, (used = parameters));
    const mary = person("mary");
    const tokens = await signIn(rp, mary, { build: keep });
    const silently = await mary.go(client.buildAuthorizationUrl(rp.config, { ...used, prompt: "none" }), { until: rp.redirect_uri });
    const wrong = { expectedState: used.state, expectedNonce: used.nonce, pkceCodeVerifier: client.randomPKCECodeVerifier() };
    await assert.rejects(client.authorizationCodeGrant(rp.config, silently.url, wrong), refused("invalid_grant"));
    assert.equal((await client.tokenIntrospection(rp.config, tokens.access_token)).active, true, "of another code");
  });

  it("asks for single claims", async (t) => {
    const claims = JSON.stringify({ id_token: { email: { essential: true } } });
    const tokens = await signIn(await relyingParty(t), person("mary"), { parameters: { scope: "openid", claims } });
    assert.equal(tokens.claims().email, account("mary").username);
  });

  it("authenticates by a key of its own, at every endpoint", async (t) => {
    for (const alg of ["ES256", "RS256", "EdDSA", "Ed25519"]) {
      const { key, kid, file } = await keyPair(t, alg);
      const rp = await relyingParty(t, { flags: [...website, "--jwks-file", file], auth: () => client.PrivateKeyJwt({ key, kid }) });
      const tokens = await signIn(rp, person("mary"), { build: client.buildAuthorizationUrlWithPAR });
      const renewed = await client.refreshTokenGrant(rp.config, tokens.refresh_token);
      assert.equal((await client.tokenIntrospection(rp.config, renewed.access_token)).active, true);
      await client.tokenRevocation(rp.config, renewed.refresh_token);

      const { key: another } = await keyPair(t, alg);
      const { client_id } = rp.config.clientMetadata();
      const impostor = new client.Configuration(rp.config.serverMetadata(), client_id, {}, client.PrivateKeyJwt({ key: another, kid }));
      execute.forEach((extend) => extend(impostor));
      await assert.rejects(client.tokenRevocation(impostor, renewed.access_token), refused("invalid_client"));
    }
  });

  it("is told when the person denies it", async (t) => {
    const { config, redirect_uri } = await relyingParty(t);
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const code_challenge = await client.calculatePKCECodeChallenge(pkceCodeVerifier);
    const url = client.buildAuthorizationUrl(config, { redirect_uri, scope: "openid", code_challenge, code_challenge_method: "S256" });
    const consent = await (await person("mary").go(url, { until: redirect_uri })).signIn();
    const denied = await consent.press("Deny");
    await assert.rejects(
      client.authorizationCodeGrant(config, denied.url, { pkceCodeVerifier }),
      (thrown) => thrown instanceof client.AuthorizationResponseError && thrown.error === "access_denied",
    );
  });

  it("signs in once for two applications, and silently", async (t) => {
    const mary = person("mary");
    const first = await signIn(await relyingParty(t), mary);
    const second = await relyingParty(t, { flags: [...website, "--first-party"] });
    const silently = await signIn(second, mary, { parameters: { prompt: "none" } });
    assert.equal(silently.claims().sid, first.claims().sid);
    const nobody = person("alice");
    await assert.rejects(signIn(second, nobody, { parameters: { prompt: "none" } }), (thrown) => thrown.error === "login_required");
  });

  it("renews tokens, and loses them all when an old one is shown", async (t) => {
    const { config, ...rp } = await relyingParty(t);
    const first = await signIn({ config, ...rp }, person("mary"));
    const second = await client.refreshTokenGrant(config, first.refresh_token);
    const third = await client.refreshTokenGrant(config, second.refresh_token);
    assert.equal(third.claims().sub, first.claims().sub);
    assert.notEqual(third.refresh_token, first.refresh_token);
    await assert.rejects(client.refreshTokenGrant(config, first.refresh_token), refused("invalid_grant"));
    await assert.rejects(client.refreshTokenGrant(config, third.refresh_token), refused("invalid_grant"));
  });

  it("reads UserInfo", async (t) => {
    const rp = await relyingParty(t);
    const alice = person("alice");
    const tokens = await signIn(rp, alice);
    const info = await client.fetchUserInfo(rp.config, tokens.access_token, tokens.claims().sub);
    assert.equal(info.email, alice.username);
    assert.equal(info.email_verified, true);
    await assert.rejects(client.fetchUserInfo(rp.config, tokens.access_token, "somebody else"));
    await assert.rejects(
      client.fetchUserInfo(rp.config, "nonsense", tokens.claims().sub),
      (thrown) => thrown instanceof client.WWWAuthenticateChallengeError && thrown.cause[0].parameters.error === "invalid_token",
    );
  });

  it("gets a token in its own name", async (t) => {
    const { config } = await relyingParty(t, { flags: ["--grant", "client_credentials", "--scope", "customer.read,securitysystem.read"] });
    const tokens = await client.clientCredentialsGrant(config, { scope: "customer.read" });
    assert.equal(tokens.scope, "customer.read");
    assert.equal(tokens.refresh_token, undefined);
    await assert.rejects(client.clientCredentialsGrant(config, { scope: "admin" }), refused("invalid_scope"));
  });

  it("exchanges a token for one that may less", async (t) => {
    const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    const scope = ["--scope", "openid,customer.read,securitysystem.read"];
    const rp = await relyingParty(t, { flags: ["--grant", `authorization_code,${exchange}`, ...scope] });
    const { access_token } = await signIn(rp, person("mary"), { parameters: { scope: "openid customer.read securitysystem.read" } });
    const narrower = await client.genericGrantRequest(rp.config, exchange, {
      subject_token: access_token,
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      scope: "securitysystem.read",
    });
    const { scope: left, sub, act } = await client.tokenIntrospection(rp.config, narrower.access_token);
    assert.deepEqual({ left, sub, act }, { left: "securitysystem.read", sub: account("mary").sub, act: { sub: rp.config.clientMetadata().client_id } });
    const parameters = { subject_token: narrower.access_token, subject_token_type: "urn:ietf:params:oauth:token-type:access_token", scope: "customer.read" };
    await assert.rejects(client.genericGrantRequest(rp.config, exchange, parameters), refused("invalid_scope"));
  });

  it("has access tokens that say nothing, if it registered for them", async (t) => {
    const rp = await relyingParty(t, { flags: [...website, "--opaque"] });
    const { access_token, refresh_token } = await signIn(rp, person("mary"));
    assert.equal(access_token.split(".").length, 1);
    const { sub } = account("mary");
    assert.equal((await client.fetchUserInfo(rp.config, access_token, sub)).sub, sub);
    assert.equal((await client.tokenIntrospection(rp.config, access_token)).sub, sub);
    await client.tokenRevocation(rp.config, refresh_token);
    assert.deepEqual(await client.tokenIntrospection(rp.config, access_token), { active: false });
  });

  it("introspects and revokes an access token", async (t) => {
    const rp = await relyingParty(t);
    const tokens = await signIn(rp, person("mary"));
    const active = await client.tokenIntrospection(rp.config, tokens.access_token);
    assert.equal(active.active, true);
    assert.equal(active.sub, tokens.claims().sub);
    await client.tokenRevocation(rp.config, tokens.access_token);
    assert.deepEqual(await client.tokenIntrospection(rp.config, tokens.access_token), { active: false });
    assert.ok(await client.refreshTokenGrant(rp.config, tokens.refresh_token), "the refresh token goes on");
  });

  it("revokes a refresh token, and with it the access tokens", async (t) => {
    const rp = await relyingParty(t);
    const tokens = await signIn(rp, person("mary"));
    await client.tokenRevocation(rp.config, tokens.refresh_token, { token_type_hint: "refresh_token" });
    await assert.rejects(client.refreshTokenGrant(rp.config, tokens.refresh_token), refused("invalid_grant"));
    assert.deepEqual(await client.tokenIntrospection(rp.config, tokens.access_token), { active: false });
  });

  it("signs out at the provider, and comes back with its state", async (t) => {
    const rp = await relyingParty(t);
    const mary = person("mary");
    const tokens = await signIn(rp, mary);
    const parameters = { id_token_hint: tokens.id_token, post_logout_redirect_uri: rp.home, state: "bye" };
    const { url } = await mary.go(client.buildEndSessionUrl(rp.config, parameters), { until: rp.home });
    assert.equal(url.href, `${rp.home}?state=bye`);
    await assert.rejects(client.refreshTokenGrant(rp.config, tokens.refresh_token), refused("invalid_grant"));
    await assert.rejects(signIn(rp, mary, { parameters: { prompt: "none" } }), (thrown) => thrown.error === "login_required");
  });

  it("connects a device, whose person types its code elsewhere", async (t) => {
    const scope = ["--scope", "openid,email,offline_access"];
    const { client_id: clientId } = await register(t, "--public", "--grant", `${device},refresh_token`, ...scope);
    const shown = deferred();
    const connecting = connect({ issuer, clientId, show: shown.resolve });
    const { verification_uri, user_code } = await shown.promise;
    const mary = person("mary");
    const typing = await (await mary.go(verification_uri)).signIn();
    const comparing = await typing.press("Continue", { user_code });
    assert.match(comparing.text, new RegExp(user_code));
    await comparing.press("Allow");
    const { who, tokens } = await connecting;
    assert.equal(who.email, mary.username);
    assert.ok(tokens.refresh_token);
  });
});
