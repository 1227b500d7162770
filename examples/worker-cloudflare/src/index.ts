// A whole API at the edge behind one guard: it lets a request in when its access token was issued by
// ISSUER, for AUDIENCE, is still valid and carries the scope that the route needs.

import { createGuard, type Guard, type Principal } from "gatepass/guard";

interface Env {
  ISSUER: string;
  AUDIENCE: string;
  ALLOWED_ORIGIN: string;
  DANGEROUSLY_ALLOW_HTTP_LOOPBACK?: string;
}

interface Route {
  scopes: string[];
  answer(accepted: { principal: Principal; checks: readonly string[] }): unknown;
}

const routes: Record<string, Route> = {
  "/api/me": { scopes: ["read"], answer: ({ principal, checks }) => ({ principal, checks }) },
  "/api/admin": { scopes: ["admin"], answer: () => ({ message: "Welcome to the engine room." }) },
};

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (request.method === "OPTIONS") return withCors(new Response(null, { status: 204 }), env);
    return withCors(await answer(request, env), env);
  },
};

async function answer(request: Request, env: Env): Promise<Response> {
  const { pathname } = new URL(request.url);
  const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  if (!route) return Response.json({ error: "not_found" }, { status: 404 });
  if (request.method !== "GET") {
    return Response.json(
      { error: "method_not_allowed" },
      { status: 405, headers: { allow: "GET" } },
    );
  }

  const guard = await guardOf(env);
  const checked = await guard.check(request, { scopes: route.scopes });
  if (checked.refusal) return checked.response; // 401, 403 or 503, with its WWW-Authenticate
  return Response.json(route.answer(checked), {
    headers: { "cache-control": "no-store" },
  });
}

let guard: Guard | undefined;

/**
 * One guard per isolate, so that the provider's keys are fetched once and not with every request.
 * Only the finished guard is kept: in a worker, no request may wait for a promise of another one.
 */
async function guardOf(env: Env): Promise<Guard> {
  guard ??= await createGuard({
    issuer: env.ISSUER,
    audience: env.AUDIENCE,
    dangerouslyAllowHttpLoopback: env.DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
  });
  return guard;
}

/** Without `expose-headers` a page of another origin could not read why it was refused. */
function withCors(response: Response, env: Env): Response {
  const answered = new Response(response.body, response);
  answered.headers.set("access-control-allow-origin", env.ALLOWED_ORIGIN);
  answered.headers.set("access-control-allow-headers", "authorization");
  answered.headers.set("access-control-expose-headers", "www-authenticate");
  answered.headers.set("access-control-max-age", "600");
  answered.headers.append("vary", "origin");
  return answered;
}
