// Folders of a test, which are gone when its process is.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made = [];
process.on("exit", () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder that nobody else has. */
export function makeFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `gatepass-${name}-`));
  made.push(folder);
  return folder;
}
