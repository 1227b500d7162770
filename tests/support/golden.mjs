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

/** Values that are another one each time. */
const CHANGING = [
  "state",
  "nonce",
  "code_challenge",
  "code_verifier",
  "code",
  "refresh_token",
  "client_assertion",
  "token",
];

/** Parameters in the order they are sent in; what changes from run to run is left out. */
export const showParameters = (text) =>
  [...new URLSearchParams(text)]
    .map(([name, value]) => {
      const said = name === "redirect_uri" ? value.replace(/:\d+/, ":PORT") : value;
      return `  ${name}=${CHANGING.includes(name) ? "..." : said}`;
    })
    .join("\n");

/** What the provider of program.mjs was posted, with every header that a provider could act upon. */
export const showPosted = ({ requests }) =>
  requests
    .filter(({ init }) => init.method === "POST")
    .map(({ url, init }) => {
      const headers = ["authorization", "accept", "content-type", "dpop"].flatMap((name) =>
        init.headers[name] === undefined ? [] : [`${name}: ${init.headers[name]}`],
      );
      const { pathname, search } = new URL(url);
      return [`POST ${pathname}${search}`, ...headers, showParameters(init.body)].join("\n");
    });
