// The contest in this runtime (Node, Deno or Bun); prints one line of JSON.
//
//   node benches/run.mjs [contest] [curves] [overhead] [memory=COUNT]

import { createGuard } from "../dist/guard.js";
import { makeProvider } from "../tests/support/provider.mjs";
import { compare, contenders, repeat } from "./contest.mjs";
import { coldRequests, curves, memory } from "./curves.mjs";
import { overhead } from "./overhead.mjs";

const optional = (name) => import(name).catch(() => undefined);
const nodeCrypto = globalThis.process?.getBuiltinModule?.("node:crypto");
const fastJwt = await optional("fast-jwt");
const libraries = {
  createGuard,
  makeProvider,
  nodeCrypto,
  jose: await optional("jose"),
  fastJwt: fastJwt?.default ?? fastJwt,
  jsonwebtoken: (await optional("jsonwebtoken"))?.default,
  hono: (await optional("hono/jwt"))?.verifyWithJwks ? await optional("hono/jwt") : undefined,
};

async function measure(check, times) {
  const begun = performance.now();
  await repeat(check, times);
  return performance.now() - begun;
}

const wanted = process.argv.slice(2);
const results = {};
if (wanted.includes("contest")) {
  results.contest = {};
  for (const alg of ["ES256", "RS256"]) {
    const list = await contenders(alg, libraries);
    results.contest[alg] = await compare(list, measure);
  }
}
if (wanted.includes("curves")) {
  results.curves = await curves(createGuard, makeProvider, measure);
  results.coldRequests = await coldRequests(createGuard, makeProvider);
}
if (wanted.includes("overhead")) {
  results.overhead = await overhead(createGuard, makeProvider, nodeCrypto, libraries.jose);
}
const count = wanted.find((word) => word.startsWith("memory="))?.slice("memory=".length);
if (count) results.memory = await memory(createGuard, makeProvider, nodeCrypto, Number(count));
console.log(JSON.stringify(results));
