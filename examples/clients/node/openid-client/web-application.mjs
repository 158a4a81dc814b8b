// A web application that people sign in to with RealGuardIO, by openid-client. It is told who the issuer is and finds the
// rest by itself.
//
//   CLIENT_ID=... CLIENT_SECRET=... node openid-client/web-application.mjs http://localhost:9000
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as client from "openid-client";

/** webApplication answers requests at an origin, whose redirect URI is ORIGIN/callback. */
export async function webApplication({ issuer, origin, clientId, clientSecret }) {
  // `make run` is at http://localhost, which openid-client wants to be told is meant.
  const execute = issuer.protocol === "http:" ? [client.allowInsecureRequests] : [];
  const provider = await client.discovery(issuer, clientId, clientSecret, undefined, { execute });
  client.enableNonRepudiationChecks(provider); // checks the ID token's signature too
  const { issuer: name, jwks_uri } = provider.serverMetadata();
  const keys = createRemoteJWKSet(new URL(jwks_uri));
  const redirect_uri = `${origin}/callback`;
  const sessions = new Map(); // by id, which is all that the browser has

  const routes = {
    async "GET /"(session) {
      if (!session) return page(`<p>Nobody is signed in.</p>${button("/login", "Log in")}`);
      if (session.tokens.expiresIn() < 10) await renew(session);
      const { email } = await client.fetchUserInfo(provider, session.tokens.access_token, session.subject);
      return page(`<p>Signed in as ${email.replace(/[&<"]/g, "")}.</p>${button("/logout", "Log out")}`);
    },

    async "POST /login"() {
      const checks = { expectedState: client.randomState(), expectedNonce: client.randomNonce(), pkceCodeVerifier: client.randomPKCECodeVerifier() };
      const url = client.buildAuthorizationUrl(provider, {
        redirect_uri,
        scope: "openid email offline_access",
        state: checks.expectedState,
        nonce: checks.expectedNonce,
        code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
        code_challenge_method: "S256",
      });
      // The answer must come back to this browser, which therefore keeps what it will be held to.
      return redirect(url, cookie("login", Buffer.from(JSON.stringify(checks)).toString("base64url"), 600));
    },

    async "GET /callback"(_, url, cookies) {
      const checks = JSON.parse(Buffer.from(cookies.get("login") ?? "bnVsbA", "base64url"));
      if (!checks) return { status: 403, text: "not begun in this browser" };
      const tokens = await client.authorizationCodeGrant(provider, url, checks);
      const id = randomUUID();
      const { sub: subject, sid } = tokens.claims();
      sessions.set(id, { id, tokens, subject, sid, idToken: tokens.id_token });
      return redirect("/", cookie("session", id), cookie("login", "", 0));
    },

    async "POST /logout"(session) {
      if (!session) return redirect("/");
      sessions.delete(session.id);
      return redirect(client.buildEndSessionUrl(provider, { id_token_hint: session.idToken, post_logout_redirect_uri: `${origin}/` }));
    },

    // The provider tells of sessions that ended there (OpenID Connect Back-Channel Logout 1.0).
    async "POST /backchannel-logout"(_, __, ___, request) {
      const token = new URLSearchParams(await text(request)).get("logout_token");
      const { payload } = await jwtVerify(token, keys, { issuer: name, audience: clientId, typ: "logout+jwt", requiredClaims: ["sid", "jti", "exp"] });
      if (!payload.events?.["http://schemas.openid.net/event/backchannel-logout"] || "nonce" in payload) throw new Error("no logout token");
      for (const { id, sid } of sessions.values()) if (sid === payload.sid) sessions.delete(id);
      return page("");
    },
  };

  /** renew rotates a session's tokens: once, however many requests want it. */
  function renew(session) {
    session.renewing ??= client
      .refreshTokenGrant(provider, session.tokens.refresh_token)
      .then((tokens) => (session.tokens = tokens))
      .finally(() => (session.renewing = undefined));
    return session.renewing;
  }

  return async (request, response) => {
    const url = new URL(request.url, origin);
    const cookies = new Map((request.headers.cookie ?? "").split("; ").map((pair) => pair.split("=")));
    const route = routes[`${request.method} ${url.pathname}`];
    try {
      // Cookies are Lax: no other site can post with them.
      const answer = route ? await route(sessions.get(cookies.get("session")), url, cookies, request) : { status: 404, text: "not found" };
      response.writeHead(answer.status, { "content-type": "text/html; charset=utf-8", ...answer.headers }).end(answer.text);
    } catch (error) {
      console.error(error.code, error.message);
      response.writeHead(400).end("not signed in, or no longer");
    }
  };
}

const page = (text) => ({ status: 200, text });
const button = (action, label) => `<form method="post" action="${action}"><button>${label}</button></form>`;
const cookie = (name, value, age) => `${name}=${value}; Path=/; HttpOnly; SameSite=Lax${age === undefined ? "" : `; Max-Age=${age}`}`;
const redirect = (to, ...cookies) => ({ status: 303, headers: { location: String(to), "set-cookie": cookies } });

if (import.meta.filename === process.argv[1]) {
  const origin = "http://localhost:3000";
  const { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret } = process.env;
  const issuer = new URL(process.argv[2] ?? "http://localhost:9000");
  createServer(await webApplication({ issuer, origin, clientId, clientSecret })).listen(3000, "localhost");
  console.log(`open ${origin}`);
}
