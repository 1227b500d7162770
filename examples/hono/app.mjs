// An API behind the guard, with Hono: the same app in Workers, Node, Deno and Bun.

import { createGuard } from "gatepass/guard";
import { guarded } from "gatepass/hono";
import { Hono } from "hono";
import { env } from "hono/adapter";

const guard = (c) => {
  const { ISSUER, AUDIENCE, DANGEROUSLY_ALLOW_HTTP_LOOPBACK } = env(c);
  return createGuard({
    issuer: ISSUER,
    audience: AUDIENCE,
    dangerouslyAllowHttpLoopback: DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
  });
};

const app = new Hono();
app.get("/health", (c) => c.text("ok"));
app.get("/me", guarded(guard), (c) => c.json({ hello: c.var.principal.subject }));
app.get("/admin", guarded(guard, { need: { scopes: ["admin"] } }), (c) => c.text("welcome"));

// Workers and Bun serve the default export, Deno does with `deno serve`.
export default app;
