// A service behind the guard, for Connect, gRPC and gRPC-Web.

import { createServer } from "node:http2";

import { connectNodeAdapter } from "@connectrpc/connect-node";
import { guarded, principalKey } from "gatepass/connect";
import { createGuard } from "gatepass/guard";

import { Greeter } from "./service.mjs";

const { ISSUER, AUDIENCE, DANGEROUSLY_ALLOW_HTTP_LOOPBACK, PORT } = process.env;
const guard = createGuard({
  issuer: ISSUER,
  audience: AUDIENCE,
  dangerouslyAllowHttpLoopback: DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
});

const handler = connectNodeAdapter({
  interceptors: [guarded(guard, { need: { scopes: ["read"] } })],
  routes: (router) =>
    router.service(Greeter, {
      greet: ({ value }, { values }) => ({
        value: `${value}, ${values.get(principalKey).subject}`,
      }),
      async *count({ value }) {
        for (const number of ["one", "two", "three"]) yield { value: `${value} ${number}` };
      },
    }),
});

const server = createServer(handler);
server.listen(Number(PORT ?? 8080), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
