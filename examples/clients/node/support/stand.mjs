// A RealGuardIO that is running, clients registered with it, and people who sign in: what the tests here stand on.
// Whoever uses one of the client libraries needs nothing of it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { promisify } from "node:util";

// What `realguardio dev --ready-file` wrote; without, what `make run` leaves in the repository.
const readyFile = process.env.REALGUARDIO_READY_FILE ?? new URL("../../../../.realguardio/demo.json", import.meta.url).pathname;

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

/** listen serves an application at a free port until test t ends, and returns its origin. */
export async function listen(t, handler) {
  const server = createServer(handler).listen(0, "localhost");
  await once(server, "listening");
  t.after(() => new Promise((closed) => (server.close(closed), server.closeAllConnections())));
  return `http://localhost:${server.address().port}`;
}

/** deferred is a promise with what fulfils it. */
export function deferred() {
  let resolve;
  const promise = new Promise((fulfil) => (resolve = fulfil));
  return { promise, resolve };
}
