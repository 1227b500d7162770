// The contest in a Worker. Its clock stands still while it computes, so it only repeats; whoever
// asks holds the watch.

import { createGuard } from "gatepass/guard";
import * as hono from "hono/jwt";
import * as jose from "jose";

import { contenders, repeat } from "./contest.mjs";
import { makeProvider } from "./provider.mjs";

const begun = {};

export default {
  async fetch(request) {
    const asked = new URL(request.url).searchParams;
    const alg = asked.get("alg");
    begun[alg] ??= await contenders(alg, { createGuard, makeProvider, jose, hono });
    const list = begun[alg];
    if (!asked.has("index")) return Response.json(list.map(({ kind, name }) => ({ kind, name })));
    await repeat(list[Number(asked.get("index"))].check, Number(asked.get("times")));
    return new Response();
  },
};
