// Vectors through the shipped wasm with both kinds of crypto that Node has.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { SIGNATURES, compareJson, compareSignatures, obstacle } from "../support/vectors.mjs";

let createGuard;
let glue;

before(async () => {
  if (obstacle) return;
  const { project } = installPackage("vectors");
  const dist = (file) => pathToFileURL(join(project, "node_modules/gatepass/dist", file)).href;
  ({ createGuard } = await import(dist("guard.js")));
  const { guardEngine } = await import(dist("load/guard.js"));
  glue = await guardEngine.ready();
});

async function decide(cases) {
  const answers = [];
  for (const { jwk, alg, message, signature } of cases) {
    const bytes = [message, signature].map((text) => new Uint8Array(Buffer.from(text, "hex")));
    answers.push(await glue.checkSignature(jwk, alg, ...bytes));
  }
  return answers;
}

for (const host of ["node:crypto", "WebCrypto"]) {
  describe(`Wycheproof with ${host}`, { skip: obstacle }, () => {
    for (const suite of SIGNATURES) {
      const [id, name, alg] = suite;
      test(`${id}_${alg}: ${name}`, async (t) => {
        if (host === "WebCrypto") t.mock.method(process, "getBuiltinModule", () => undefined);
        await compareSignatures(suite, decide);
      });
    }
  });
}

test("jsn_36 JSONTestSuite as claims of a token", { skip: obstacle }, async () => {
  const guard = await createGuard({ issuer: "https://as.example", audience: "api" });
  await compareJson(async (tokens) => {
    const answers = await Promise.allSettled(tokens.map((token) => guard.verify(token)));
    return answers.map(({ reason }) => reason?.code);
  });
  assert.equal(guard.tally().accepted, 0);
  guard.dispose();
});
