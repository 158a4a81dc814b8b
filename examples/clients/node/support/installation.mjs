// A RealGuardIO of a test's own, configured as the test needs it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/**
 * installation starts one that ends with test t, and returns what its ready file says. `files` are written first, to a
 * folder that replaces DIR in them and in `flags`.
 */
export async function installation(t, files, ...flags) {
  const folder = mkdtempSync(join(tmpdir(), "installation-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const placed = (text) => text.replaceAll("DIR", folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), placed(text), { mode: 0o600 });
  const ready = join(folder, "ready.json");
  const args = ["dev", "--ephemeral", "--random-ports", "--ready-file", ready, ...flags.map(placed)];
  const { REALGUARDIO_READY_FILE, REALGUARDIO_TOKEN_FILE, ...env } = process.env; // of the server that the other tests share
  const server = spawn("realguardio", args, { env, stdio: ["ignore", "ignore", "inherit"] });
  const ended = once(server, "exit");
  t.after(async () => (server.kill(), await ended));
  for (let tenths = 0; tenths < 600; tenths++) {
    try {
      return JSON.parse(readFileSync(ready, "utf8"));
    } catch {
      assert.equal(server.exitCode, null, "realguardio dev ended");
      await pause(100);
    }
  }
  assert.fail("realguardio dev is not ready");
}
