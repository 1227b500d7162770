// A provider that browsers themselves talk to (FedCM), and an application, both on 127.0.0.1: what
// the browser asks for by itself no test can answer in its place.

import { listen } from "./listen.mjs";
import { makeProvider } from "./provider.mjs";

const HTML = { "content-type": "text/html; charset=utf-8" };

/**
 * An application of one page and its provider.
 *
 * @param {string} script of the page
 */
export async function startFedCm(script) {
  /** What one test may change; `reset` puts it back. */
  const now = {};
  const reset = () =>
    Object.assign(now, {
      accounts: [{ id: "alice", name: "Alice", email: "alice@example.com", approved_clients: [] }],
      headers: {},
      claims: (claims) => claims,
      answer: undefined,
      requests: [],
    });
  reset();
  const app = await listen((request, _body, response) => {
    if (request.url === "/app.js") {
      response.setHeader("content-type", "text/javascript");
      return script;
    }
    const html = `<!doctype html><title>app</title><button id="go">Sign in</button>
      <script>window.PROVIDER = ${JSON.stringify(provider.issuer)}</script>
      <script type="module" src="/app.js"></script>`;
    response.writeHead(200, { ...HTML, ...now.headers }).end(html);
  });

  const fedcm = {
    "/.well-known/web-identity": () => ({ provider_urls: [`${provider.issuer}/fedcm.json`] }),
    "/fedcm.json": () => ({
      accounts_endpoint: "/accounts",
      id_assertion_endpoint: "/assertion",
      disconnect_endpoint: "/disconnect",
      login_url: "/login",
    }),
    "/accounts": () => ({ accounts: now.accounts }),
    "/assertion": async (form) => {
      if (now.answer) return now.answer;
      const at = Math.floor(Date.now() / 1000);
      const { nonce } = JSON.parse(form.get("params") ?? "{}");
      const claims = {
        iss: provider.issuer,
        aud: form.get("client_id"),
        sub: form.get("account_id"),
      };
      const token = now.claims({ ...claims, iat: at, exp: at + 300, nonce, name: "Alice" });
      return { token: await provider.signer.sign(token) };
    },
    "/disconnect": (form) => ({ account_id: form.get("account_hint") }),
  };
  const server = await listen(async (request, body, response) => {
    const { pathname } = new URL(request.url, provider.issuer);
    const form = new URLSearchParams(body);
    response.setHeader("access-control-allow-origin", request.headers.origin ?? "*");
    response.setHeader("access-control-allow-credentials", "true");
    if (fedcm[pathname]) {
      now.requests.push({
        path: pathname,
        form: Object.fromEntries(form),
        dest: request.headers["sec-fetch-dest"],
      });
      return fedcm[pathname](form);
    }
    if (pathname === "/authorize" || pathname === "/logout") {
      response.setHeader("content-type", HTML["content-type"]);
      return `<p id="provider">${pathname}</p>`;
    }
    const answered = await provider.fetch(provider.issuer + request.url, { body });
    response.statusCode = answered.status;
    response.setHeader("content-type", "application/json");
    return answered.text();
  });
  const provider = await makeProvider({
    issuer: server.origin,
    redirectUri: `${app.origin}/callback`,
  });
  return {
    origin: app.origin,
    provider,
    now,
    reset,
    of: (path) => now.requests.filter((request) => request.path === path),
    close: () => {
      app.close();
      server.close();
    },
  };
}
