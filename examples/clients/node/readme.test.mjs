import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { promisify } from "node:util";
import { readyFile } from "./support/stand.mjs";

// Registering a client is the one thing that everybody has to copy from these pages by the letter.
for (const folder of ["node", "go", "oauth2-proxy"]) {
  it(`registers the clients of ${folder}/README.md as written there`, async () => {
    const page = await readFile(new URL(`../${folder}/README.md`, import.meta.url), "utf8");
    const commands = page.match(/^realguardio clients create (?:.*\\\n)*.*$/gm);
    for (const command of commands) {
      const { stdout } = await promisify(execFile)("bash", ["-c", command], { env: { ...process.env, REALGUARDIO_READY_FILE: readyFile } });
      assert.match(JSON.parse(stdout).client_id, /^app_/, command);
    }
  });
}
