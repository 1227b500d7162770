// The application in Node.

import { serve } from "@hono/node-server";

import app from "./app.mjs";

const { env } = process;
const fetch = (request) => app.fetch(request, env);
serve({ fetch, hostname: "127.0.0.1", port: Number(env.PORT ?? 3000) }, (at) =>
  console.log(`http://127.0.0.1:${at.port}`),
);
