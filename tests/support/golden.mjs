// Texts that are compared letter by letter. After a change that is meant:
//   GOLDEN=write node --test tests/cli

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** Compares with tests/SUITE/golden/NAME.txt. */
export function assertGolden(name, text, suite = "cli") {
  const file = fileURLToPath(new URL(`../${suite}/golden/${name}.txt`, import.meta.url));
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
  "id_token_hint",
];

/** Parameters in the order they are sent in; what changes from run to run is left out. */
export const showParameters = (text) =>
  [...new URLSearchParams(text)]
    .map(([name, value]) => {
      const said = name === "redirect_uri" ? value.replace(/:\d+/, ":PORT") : value;
      return `  ${name}=${CHANGING.includes(name) ? "..." : said}`;
    })
    .join("\n");

/** Requests to the provider of program.mjs, with every header that a provider could act upon. */
export const showRequests = (requests) =>
  requests.map(({ url, init }) => {
    const headers = ["authorization", "accept", "content-type", "dpop"].flatMap((name) =>
      init.headers[name] === undefined ? [] : [`${name}: ${showHeader(init.headers[name])}`],
    );
    const { pathname, search } = new URL(url);
    const body = init.method === "POST" ? [showParameters(init.body)] : [];
    return [`${init.method} ${pathname}${search}`, ...headers, ...body].join("\n");
  });

/** A token is another one each time; id and secret of a client are the test's own. */
const showHeader = (value) => value.replace(/^(Bearer|DPoP) .*/, "$1 ...");

/** What the provider of program.mjs was posted. */
export const showPosted = ({ requests }) =>
  showRequests(requests.filter(({ init }) => init.method === "POST"));

/** What a client says of itself in a JWT (RFC 7523): its members in their order. */
export function showAssertion(jwt) {
  const [header, claims] = jwt
    .split(".", 2)
    .map((part) => JSON.parse(Buffer.from(part, "base64url").toString("utf8")));
  const { exp, iat } = claims;
  const changing = { aud: claims.aud.replace(/:\d+/, ":PORT"), jti: "...", iat: "iat" };
  const shown = { header, claims: { ...claims, ...changing, exp: `iat + ${exp - iat}` } };
  return JSON.stringify(shown, null, 2);
}
