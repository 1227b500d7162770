// The same with nothing but node:http.

import { createServer } from "node:http";

import { protect } from "gatepass/express";
import { createGuard } from "gatepass/guard";

const { ISSUER, AUDIENCE, DANGEROUSLY_ALLOW_HTTP_LOOPBACK, PORT } = process.env;
const guard = createGuard({
  issuer: ISSUER,
  audience: AUDIENCE,
  dangerouslyAllowHttpLoopback: DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
});

const me = protect(guard, (_request, response, principal) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ hello: principal.subject }));
});
const admin = protect(guard, (_request, response) => response.end("welcome"), {
  need: { scopes: ["admin"] },
});
const health = (_request, response) => response.end("ok");
const routes = new Map([
  ["/health", health],
  ["/me", me],
  ["/admin", admin],
]);

const server = createServer((request, response) => {
  const route = routes.get(request.url);
  if (route) return route(request, response);
  response.statusCode = 404;
  response.end();
});
server.listen(Number(PORT ?? 8080), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
