// An API behind the guard, with Express.

import express from "express";
import { guarded, principalOf } from "gatepass/express";
import { createGuard } from "gatepass/guard";

const { ISSUER, AUDIENCE, DANGEROUSLY_ALLOW_HTTP_LOOPBACK, PORT } = process.env;
const guard = await createGuard({
  issuer: ISSUER,
  audience: AUDIENCE,
  dangerouslyAllowHttpLoopback: DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
});

const app = express();
app.get("/health", (_request, response) => response.send("ok"));
app.get("/me", guarded(guard), (request, response) =>
  response.json({ hello: principalOf(request).subject }),
);
app.get("/admin", guarded(guard, { need: { scopes: ["admin"] } }), (_request, response) =>
  response.send("welcome"),
);

const server = app.listen(Number(PORT ?? 8080), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
