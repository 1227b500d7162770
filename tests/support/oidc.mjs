// panva's certified oidc-provider on 127.0.0.1, with its own pages for signing in, and users who are
// whoever they say they are.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

export const CLIENTS = {
  page: "cli",
  program: { id: "job", secret: "job-secret-of-the-tests-0123456789" },
};

/**
 * @param {import("node:test").TestContext} t
 * @param {object} [options]
 * @param {string[]} [options.redirectUris] of the public client
 * @param {number} [options.lifetime] of access tokens, in seconds
 * @param {(request: import("node:http").IncomingMessage) => boolean} [options.before] answers false for
 *   requests that are to fail
 */
export async function startOidc(t, { redirectUris = [], lifetime = 3600, before } = {}) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url.split("?")[0]}`);
    if (before?.(request) === false) {
      response.writeHead(503, { "content-type": "application/json" }).end("{}");
      return;
    }
    callback(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  const callback = (await make(origin, redirectUris, lifetime)).callback();
  return {
    origin,
    requests,
    count: (line) => requests.filter((one) => one === line).length,
  };
}

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function make(origin, redirectUris, lifetime) {
  const { warn, info } = console;
  console.warn = console.info = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = privateKey.export({ format: "jwk" });
    const { program } = CLIENTS;
    return new Provider(origin, {
      clients: [
        {
          client_id: CLIENTS.page,
          application_type: "native",
          token_endpoint_auth_method: "none",
          redirect_uris: redirectUris,
          response_types: redirectUris.length > 0 ? ["code"] : [],
          grant_types: [
            ...(redirectUris.length > 0 ? ["authorization_code"] : []),
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
          ],
        },
        {
          client_id: program.id,
          client_secret: program.secret,
          redirect_uris: [],
          response_types: [],
          grant_types: ["client_credentials"],
        },
      ],
      features: {
        devInteractions: { enabled: true },
        deviceFlow: { enabled: true },
        revocation: { enabled: true },
        clientCredentials: { enabled: true },
        rpInitiatedLogout: { enabled: true },
      },
      pkce: { required: () => true },
      jwks: { keys: [{ ...jwk, use: "sig", alg: "RS256", kid: "1" }] },
      cookies: { keys: ["of-the-tests"] },
      scopes: ["openid", "profile", "email", "read", "write"],
      ttl: {
        AccessToken: lifetime,
        ClientCredentials: lifetime,
        AuthorizationCode: 60,
        DeviceCode: 600,
        Grant: 3600,
        IdToken: 3600,
        Interaction: 600,
        RefreshToken: 3600,
        Session: 3600,
      },
      issueRefreshToken: () => true,
      rotateRefreshToken: () => true,
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    });
  } finally {
    Object.assign(console, { warn, info });
  }
}
