// The OpenID provider of the demo: panva's certified oidc-provider inside this process, with one
// public client, two users, a login form of our own and an API that gets signed access tokens.
// Everything lives in memory and only on 127.0.0.1.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { errorPage, loginPage, logoutPage, signedOutPage } from "./provider-pages.mjs";

/** The API whose tokens the edge worker checks. A name, not an address: nothing is fetched from it. */
export const API = "https://api.gatepass.example";
export const CLIENT_ID = "demo-spa";

/** Nobody is ever granted `admin` here: the page shows what a guard says to a token without it. */
const API_SCOPES = "read admin";
const GRANTED_API_SCOPES = "read";
const IDENTITY_SCOPES = "openid profile email";

/** What the page asks for when it signs somebody in. */
export const SCOPE = `${IDENTITY_SCOPES} ${GRANTED_API_SCOPES}`;

export const USERS = [
  { login: "ada", password: "engine", sub: "user-1815", name: "Ada Lovelace" },
  { login: "grace", password: "compiler", sub: "user-1906", name: "Grace Hopper" },
];

const ACCESS_TOKEN_SECONDS = 300;
const MAX_FORM_BYTES = 4096;

/**
 * Starts the provider. `stop` and `start` close and open the door only: keys, sessions and grants
 * stay, so that the journey can show a provider that is away for a moment.
 *
 * @param {{ port: number, pageOrigin: string }} options
 */
export async function startProvider({ port, pageOrigin }) {
  const origin = `http://127.0.0.1:${port}`;
  const provider = await createProvider(origin, configuration({ pageOrigin }));
  const stylesheet = await readFile(new URL("./provider.css", import.meta.url));
  const answer = provider.callback();

  const handle = async (request, response) => {
    const { pathname } = new URL(request.url, origin);
    if (pathname === "/provider.css") {
      response.writeHead(200, { "content-type": "text/css", "cache-control": "no-cache" });
      return response.end(stylesheet);
    }
    if (pathname.startsWith("/interaction/"))
      return interact(provider, pageOrigin, request, response);
    return answer(request, response);
  };

  let server;
  const start = () =>
    new Promise((resolve, reject) => {
      server = createServer((request, response) => {
        handle(request, response).catch(() =>
          sendPage(response, 400, errorPage("This sign-in has expired.")),
        );
      });
      server.once("error", reject).listen(port, "127.0.0.1", resolve);
    });
  const stop = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections(); // keep-alive connections would hold the port
    });

  await start();
  return {
    origin,
    start,
    stop,
    /** Tells a test what each successful token request carried and what was answered. */
    onGrant: (listener) =>
      provider.on("grant.success", ({ oidc, body }) => listener(oidc.params, body)),
  };
}

/**
 * oidc-provider says with every start that Node 20 is too old for it (it runs) and that its memory is not
 * for production (this is a demo). Those two lines are left out; anything else it says is shown.
 */
async function createProvider(origin, options) {
  const expected = ["Unsupported runtime", "in-memory adapter"];
  const warn = console.warn;
  console.warn = (text, ...rest) => {
    if (!expected.some((words) => String(text).includes(words))) warn(text, ...rest);
  };
  try {
    const { Provider } = await import("oidc-provider");
    return new Provider(origin, options);
  } finally {
    console.warn = warn;
  }
}

function configuration({ pageOrigin }) {
  return {
    clients: [
      {
        client_id: CLIENT_ID,
        token_endpoint_auth_method: "none", // a page cannot keep a secret; PKCE binds the code instead
        response_types: ["code"],
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: [`${pageOrigin}/callback`, `${pageOrigin}/spa/`],
        post_logout_redirect_uris: [`${pageOrigin}/`, `${pageOrigin}/spa/`],
      },
    ],
    jwks: { keys: [makeKey()] },
    cookies: { keys: [randomBytes(16).toString("hex")] },
    scopes: ["openid"], // the API's scopes belong to the API, below
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username"],
      email: ["email", "email_verified"],
    },
    conformIdTokenClaims: false, // puts name and email into the ID token, where the page shows them
    findAccount,
    clientBasedCORS: (_ctx, origin) => origin === pageOrigin,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    loadExistingGrant: grantAtOnce,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: ACCESS_TOKEN_SECONDS,
      AuthorizationCode: 60,
      Grant: 3600,
      IdToken: 600,
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
    },
    renderError: (ctx, out) =>
      setPage(ctx, pageOrigin, errorPage(out.error_description ?? out.error)),
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => setPage(ctx, pageOrigin, logoutPage(form)),
        postLogoutSuccessSource: (ctx) => setPage(ctx, pageOrigin, signedOutPage(pageOrigin)),
      },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: async (_ctx, resource) => {
          if (resource !== API) {
            const { errors } = await import("oidc-provider");
            throw new errors.InvalidTarget();
          }
          return {
            scope: API_SCOPES,
            audience: API,
            accessTokenTTL: ACCESS_TOKEN_SECONDS,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "RS256" } },
          };
        },
      },
    },
  };
}

function makeKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: "demo-1", use: "sig", alg: "RS256" };
}

function findAccount(_ctx, sub) {
  const user = USERS.find((candidate) => candidate.sub === sub);
  if (!user) return undefined;
  return {
    accountId: sub,
    claims: () => ({
      sub,
      name: user.name,
      preferred_username: user.login,
      email: `${user.login}@gatepass.example`,
      email_verified: true,
    }),
  };
}

/** The demo client belongs to the provider's own house, so nobody is asked for consent. */
async function grantAtOnce(ctx) {
  const { client, provider, session } = ctx.oidc;
  const existing = session.grantIdFor(client.clientId);
  if (existing) return provider.Grant.find(existing);
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(IDENTITY_SCOPES);
  grant.addResourceScope(API, GRANTED_API_SCOPES);
  await grant.save();
  return grant;
}

/** The login form: GET shows it, POST ends it with a user, an error message or a cancellation. */
async function interact(provider, pageOrigin, request, response) {
  const { uid, prompt, params } = await provider.interactionDetails(request, response);
  const show = (status, message) =>
    sendPage(
      response,
      status,
      loginPage({ uid, message, login: params.login_hint ?? USERS[0].login, users: USERS }),
      pageOrigin,
    );

  if (prompt.name !== "login") throw new Error(`no page for the prompt ${prompt.name}`);
  if (request.method !== "POST") return show(200);

  const form = await readForm(request);
  if (form.has("cancel")) {
    const result = { error: "access_denied", error_description: "The user cancelled the sign-in" };
    return provider.interactionFinished(request, response, result, {
      mergeWithLastSubmission: false,
    });
  }
  const user = USERS.find(
    ({ login, password }) => login === form.get("login") && password === form.get("password"),
  );
  if (!user) return show(401, "This name and password do not belong together.");
  return provider.interactionFinished(
    request,
    response,
    { login: { accountId: user.sub, remember: false } },
    { mergeWithLastSubmission: false },
  );
}

async function readForm(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_FORM_BYTES) throw new Error("the form is too large");
  }
  return new URLSearchParams(text);
}

/** `form-action` names the page as well: browsers apply it to the redirect that follows a form. */
function pageHeaders(pageOrigin) {
  const forms = pageOrigin ? `'self' ${pageOrigin}` : "'none'";
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": `default-src 'none'; style-src 'self'; img-src data:; form-action ${forms}; base-uri 'none'; frame-ancestors 'none'`,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  };
}

function sendPage(response, status, html, pageOrigin) {
  response.writeHead(status, pageHeaders(pageOrigin));
  response.end(html);
}

function setPage(ctx, pageOrigin, html) {
  ctx.set(pageHeaders(pageOrigin));
  ctx.body = html;
}
