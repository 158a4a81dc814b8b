// A RealGuardIO that is running, clients registered with it, and people who sign in: what the tests here stand on.
// Whoever uses one of the client libraries needs nothing of it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";

// What `realguardio dev --ready-file` wrote; without, what `make run` leaves in the repository.
export const readyFile = process.env.REALGUARDIO_READY_FILE ?? new URL("../../../../.realguardio/demo.json", import.meta.url).pathname;

/** issuer, users, clients, ... */
export const stand = JSON.parse(readFileSync(readyFile, "utf8"));
export const issuer = new URL(stand.issuer);

/** account is a user of the demo by the part of the user name before the @. */
export function account(name) {
  const found = stand.users.find((user) => user.username.startsWith(`${name}@`));
  assert.ok(found, `the demo has no ${name}`);
  return found;
}

/** register registers a client, as anybody would, by `realguardio clients create` with these flags. */
export async function register(t, ...flags) {
  const args = ["clients", "create", "--ready-file", readyFile, "--output", "json", "--name", t.name, ...flags];
  const { stdout } = await promisify(execFile)("realguardio", args);
  return JSON.parse(stdout);
}

/** executable is the browser of this machine. */
export function executable() {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const places = process.env.PATH.split(":").flatMap((folder) => names.map((name) => join(folder, name)));
  return process.env.CHROMIUM ?? places.find(existsSync);
}

/** listen serves an application at a free port until test t ends, and returns its origin. */
export async function listen(t, handler) {
  const server = createServer(handler).listen(0, "localhost");
  await once(server, "listening");
  t.after(() => new Promise((closed) => (server.close(closed), server.closeAllConnections())));
  return `http://localhost:${server.address().port}`;
}

/** eventually waits for what another program brings about in its own time. */
export async function eventually(holds) {
  for (const patience = Date.now() + 15_000; !(await holds()); await setTimeout(50)) assert.ok(Date.now() < patience, "it never came about");
}

/** deferred is a promise with what fulfils it. */
export function deferred() {
  let resolve;
  const promise = new Promise((fulfil) => (resolve = fulfil));
  return { promise, resolve };
}

const algorithms = {
  ES256: { name: "ECDSA", namedCurve: "P-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
  EdDSA: { name: "Ed25519" },
  Ed25519: { name: "Ed25519" },
};

/** keyPair makes a client's key, and a file with the JWK Set that it registers with. */
export async function keyPair(t, alg) {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithms[alg], true, ["sign", "verify"]);
  const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey("jwk", publicKey);
  const kid = "1";
  const folder = mkdtempSync(join(tmpdir(), "client-keys-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "jwks.json");
  writeFileSync(file, JSON.stringify({ keys: [{ kid, use: "sig", alg, kty, crv, x, y, n, e }] }));
  return { key: privateKey, kid, file };
}
