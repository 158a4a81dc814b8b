// The running system under test, as its ready file describes it.
import { readFileSync } from "node:fs";

const path = process.env.REALGUARDIO_READY_FILE;
if (!path) throw new Error("REALGUARDIO_READY_FILE is not set; e2e/run.sh starts a server and sets it");

/** gateway, issuer, ops, users, clients, api_keys */
export const stand = JSON.parse(readFileSync(path, "utf8"));

/** account is a demo user by the part of the user name before the @. */
export function account(name) {
  const found = stand.users.find((user) => user.username.startsWith(`${name}@`));
  if (!found) throw new Error(`the ready file has no user ${name}`);
  return found;
}
