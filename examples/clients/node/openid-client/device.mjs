// A program without a browser, on a television or in a terminal, that people connect to their account from their telephone
// (RFC 8628), by openid-client.
//
//   node openid-client/device.mjs http://localhost:9000 CLIENT_ID
import * as client from "openid-client";

/** connect shows where to go and which code to type there, waits for that, and returns the tokens and whose they are. */
export async function connect({ issuer, clientId, show }) {
  const execute = issuer.protocol === "http:" ? [client.allowInsecureRequests] : [];
  const provider = await client.discovery(issuer, clientId, undefined, client.None(), { execute });
  const request = await client.initiateDeviceAuthorization(provider, { scope: "openid email offline_access" });
  show(request); // verification_uri and user_code; verification_uri_complete has both, for a QR code
  const tokens = await client.pollDeviceAuthorizationGrant(provider, request);
  return { tokens, who: await client.fetchUserInfo(provider, tokens.access_token, tokens.claims().sub) };
}

if (import.meta.filename === process.argv[1]) {
  const [, , issuer, clientId] = process.argv;
  const show = ({ verification_uri, user_code }) => console.log(`Open ${verification_uri} and type ${user_code}`);
  const { who } = await connect({ issuer: new URL(issuer), clientId, show });
  console.log(`Connected to ${who.email}`);
}
