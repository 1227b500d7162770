// The contest in a page; whoever opens the page asks for one algorithm after the other.

import { createGuard } from "gatepass/guard";
import * as hono from "hono/jwt";
import * as jose from "jose";

import { compare, contenders, repeat } from "./contest.mjs";
import { makeProvider } from "./provider.mjs";

async function measure(check, times) {
  const begun = performance.now();
  await repeat(check, times);
  return performance.now() - begun;
}

globalThis.contest = async (alg) =>
  compare(await contenders(alg, { createGuard, makeProvider, jose, hono }), measure);
