// An application whose server signs users in: the tokens stay with it, the browser has a cookie that
// only the server can read. The same in Workers, Node, Deno and Bun.

import { createCookieSessions } from "gatepass/backend";

let app;

const escape = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

async function make(env) {
  const sessions = await createCookieSessions({
    issuer: env.ISSUER,
    clientId: env.CLIENT_ID,
    ...(env.CLIENT_SECRET && {
      clientAuth: { method: "client_secret_basic", clientSecret: env.CLIENT_SECRET },
    }),
    redirectUri: `${env.ORIGIN}/callback`,
    postLogoutRedirectUri: `${env.ORIGIN}/bye`,
    scope: env.SCOPE ?? "openid offline_access",
    keys: env.COOKIE_KEYS.split(" "), // `openssl rand -hex 32`; a new one comes in front
    dangerouslyAllowHttpLoopback: env.DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
  });
  return sessions.protect(async (request, session) => {
    switch (new URL(request.url).pathname) {
      case "/":
        return new Response(
          `<!doctype html><title>Signed in</title><p>Hello ${escape(session.user.sub)}</p>
          <form method="post" action="/logout"><button>Sign out</button></form>`,
          { headers: { "content-type": "text/html; charset=utf-8" } },
        );
      case "/me": // with the access token, which the browser never sees
        return Response.json(await session.userinfo());
      default:
        return new Response("Not found", { status: 404 });
    }
  });
}

export default {
  async fetch(request, env) {
    // One for the life of the isolate: it keeps the provider's metadata and keys.
    app ??= await make(env);
    return app(request);
  },
};
