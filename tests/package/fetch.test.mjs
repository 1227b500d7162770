// What `client.fetch` owes its callers, clause by clause; fetch-scenario.mjs plays it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { EXPECTED_FETCH, fetchScenario } from "./fetch-scenario.mjs";

let played;
before(async () => {
  const { project } = installPackage("fetch");
  const entry = join(project, "node_modules/gatepass/dist/index.js");
  const { createClient } = await import(pathToFileURL(entry).href);
  // As it crosses from another runtime.
  played = JSON.parse(JSON.stringify(await fetchScenario(createClient, makeProvider)));
});

const CLAUSES = {
  "rfr_14 rfr_15 the token goes to the listed origins, and to none that look like them": [
    "allowed",
    "others",
  ],
  "rfr_14 a redirect takes the token along within its origin, and not beyond": [
    "redirectWithin",
    "redirectAway",
    "redirectAwayAndBack",
    "redirectBody",
    "redirectLoop",
  ],
  "a refusal by somebody who never saw the token is handed on": [
    "redirectRefused",
    "redirectForbidden",
  ],
  "rfr_16 an Authorization header of the program's stays": ["ownHeader"],
  "S3-09 rfr_09 a token that is not good any more is renewed and the request sent once more": [
    "renewed",
    "renewedSent",
    "stays401",
  ],
  "S3-09 rfr_10 a refusal that says nothing of a token renews nothing": [
    "noChallenge",
    "otherScheme",
  ],
  "S3-09 rfr_11 a body that can be sent once is sent once": ["stream", "requestObject"],
  "S3-09 a token that somebody renewed meanwhile is not renewed again": ["late"],
  "S3-09 rfr_01 fifty refusals together make one renewal": ["fifty"],
  "S3-09 rfr_13 what renewing cannot help is a typed error and no loop": [
    "scope",
    "stepUp",
    "forbidden",
  ],
  "without a session nothing is sent to the API, and everything elsewhere": [
    "signedOut",
    "signedOutElsewhere",
  ],
};

for (const [clause, cases] of Object.entries(CLAUSES)) {
  test(clause, () => {
    for (const name of cases) assert.deepEqual(played[name], EXPECTED_FETCH[name], name);
  });
}

test("every case belongs to a clause", () => {
  assert.deepEqual(Object.values(CLAUSES).flat().sort(), Object.keys(EXPECTED_FETCH).sort());
});
