// An API of your own that takes RealGuardIO's access tokens, by oauth4webapi. It verifies them itself, with the keys that
// the issuer publishes, and asks nobody for each request.
//
//   node oauth4webapi/api.mjs http://localhost:9000
import { createServer } from "node:http";
import * as oauth from "oauth4webapi";

/** api answers requests that bring a token for this audience, with this scope in it. */
export async function api({ issuer, audience, scope }) {
  // `make run` is at http://localhost, which oauth4webapi wants to be told is meant.
  const options = { [oauth.allowInsecureRequests]: issuer.protocol === "http:", signingAlgorithms: ["ES256", "RS256", "EdDSA"] };
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));

  async function answer({ url, method, headers }) {
    const { authorization } = headers;
    if (!authorization) return refuse(401);
    let claims;
    try {
      claims = await oauth.validateJwtAccessToken(server, new Request(new URL(url, "http://localhost"), { method, headers: { authorization } }), audience, options);
    } catch (error) {
      return refuse(401, "invalid_token", error);
    }
    if (!claims.scope?.split(" ").includes(scope)) return refuse(403, "insufficient_scope");
    return { status: 200, headers: {}, body: { hello: claims.sub, by: claims.client_id } };
  }

  return async (request, response) => {
    const { status, headers, body } = await answer(request);
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  };
}

/** refuse says no more than what to bring (RFC 6750, section 3). */
function refuse(status, code, why) {
  if (why) console.error(why.code, why.message);
  const challenge = code ? `Bearer error="${code}"` : "Bearer";
  return { status, headers: { "www-authenticate": challenge }, body: { error: code } };
}

if (import.meta.filename === process.argv[1]) {
  const issuer = new URL(process.argv[2] ?? "http://localhost:9000");
  createServer(await api({ issuer, audience: "urn:realguardio:api", scope: "securitysystem.read" })).listen(3001, "localhost");
  console.log("curl -H 'Authorization: Bearer TOKEN' http://localhost:3001/");
}
