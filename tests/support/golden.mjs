// Texts that are compared letter by letter. After a change that is meant:
//   GOLDEN=write node --test tests/cli

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** Compares with tests/cli/golden/NAME.txt. */
export function assertGolden(name, text) {
  const file = fileURLToPath(new URL(`../cli/golden/${name}.txt`, import.meta.url));
  if (process.env["GOLDEN"] === "write") {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  assert.equal(text, readFileSync(file, "utf8"));
}
