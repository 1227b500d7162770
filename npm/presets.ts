/**
 * What differs from provider to provider, as options of `createClient`. Plain data: every option that
 * you give beside a preset's own goes in place of what the preset says; one that is `undefined` is not
 * given.
 *
 * ```js
 * const client = await createClient(auth0({ domain: "example.eu.auth0.com", clientId: "..." }));
 * ```
 *
 * @packageDocumentation
 */
import type { ClientOptions } from "./lib/client.js";

/** Options beside those that a preset makes. */
export interface PresetOptions extends Omit<ClientOptions, "issuer"> {
  /**
   * Whether the session is to be renewed without the user: asks for a refresh token in the way of
   * this provider. @defaultValue false
   */
  readonly offline?: boolean;
}

/**
 * Auth0. The issuer ends with a slash. APIs are named by `audience`, without which access tokens are
 * opaque and for Auth0 itself. Sign-out at the provider needs "RP-Initiated Logout End Session
 * Endpoint Discovery" in the tenant's settings, else it ends here alone.
 */
export function auth0(
  options: PresetOptions & {
    /** Such as `example.eu.auth0.com`, or a domain of your own. */
    readonly domain: string;
  },
): ClientOptions {
  const { domain, ...rest } = options;
  return byScope(`https://${domain}/`, "openid profile email", rest);
}

/**
 * Okta. Access tokens are for your API only when an authorization server of your own makes them, of
 * which `default` is there from the beginning; those of the organisation (`null`) are for Okta itself.
 */
export function okta(
  options: PresetOptions & {
    /** Such as `example.okta.com`. */
    readonly domain: string;
    /** The authorization server. @defaultValue `"default"` */
    readonly authorizationServer?: string | null;
  },
): ClientOptions {
  const { domain, authorizationServer = "default", ...rest } = options;
  const path = authorizationServer === null ? "" : `/oauth2/${authorizationServer}`;
  return byScope(`https://${domain}${path}`, "openid profile email", rest);
}

/**
 * Microsoft Entra ID, version 2.0. The API is named by the scope (`api://.../read`), and one access
 * token is for one API. The redirect URI must be registered for a single-page application, else the
 * token endpoint refuses pages; refresh tokens of pages then end after 24 hours whatever is done. It has
 * no revocation: after a sign-out tokens live to their end.
 */
export function entra(
  options: PresetOptions & {
    /**
     * The directory's identifier. Not `common`, `organizations` or a domain: tokens name the
     * directory, and the issuer is compared letter by letter.
     */
    readonly tenant: string;
  },
): ClientOptions {
  const { tenant, ...rest } = options;
  const issuer = `https://login.microsoftonline.com/${tenant}/v2.0`;
  return byScope(issuer, "openid profile email", rest);
}

/**
 * Google. There are no access tokens for APIs of your own: send them the ID token, and let them check
 * it. A refresh token comes with `access_type=offline`, once, unless consent is asked for again; the
 * token endpoint wants a client secret from web applications, so this is for servers. It has no
 * sign-out.
 */
export function google(options: PresetOptions): ClientOptions {
  const { offline, authorizationParams, ...rest } = options;
  const access: Record<string, string> = offline
    ? { access_type: "offline", prompt: "consent" }
    : {};
  const own = { issuer: "https://accounts.google.com", scope: "openid profile email" };
  return { ...over(own, rest), authorizationParams: over(access, authorizationParams ?? {}) };
}

/**
 * Keycloak. It gives refresh tokens that end with the user's session at Keycloak; `offline` asks for
 * ones that outlive it. Audiences of access tokens come from mappers of the realm, not from a
 * parameter.
 */
export function keycloak(
  options: PresetOptions & {
    /** Such as `https://id.example.com`; up to version 16 with `/auth` behind it. */
    readonly url: string;
    readonly realm: string;
  },
): ClientOptions {
  const { url, realm, ...rest } = options;
  const base = url.endsWith("/") ? url.slice(0, -1) : url;
  return byScope(`${base}/realms/${encodeURIComponent(realm)}`, "openid profile email", rest);
}

/**
 * Amazon Cognito. The user pool needs a domain: without one its metadata name endpoints that answer nobody.
 * Refresh tokens come without being asked for (`offline` says nothing new), and access tokens have no
 * audience. Signing out leads back by `logout_uri`, where Cognito promises no `state`: leave
 * `handleSignOutCallback` out there.
 */
export function cognito(
  options: PresetOptions & {
    /** The user pool, such as `eu-central-1_AbCdEfGhI`; its region is the part before `_`. */
    readonly userPoolId: string;
  },
): ClientOptions {
  const { userPoolId, offline: _, ...rest } = options;
  const [region] = userPoolId.split("_");
  const own = {
    issuer: `https://cognito-idp.${region}.amazonaws.com/${userPoolId}`,
    postLogoutRedirectParameter: "logout_uri",
    scope: "openid profile email",
  } as const;
  return over(own, rest);
}

/** The scope by which OpenID Connect asks for refresh tokens (Core section 11). */
function byScope(issuer: string, usual: string, options: PresetOptions): ClientOptions {
  const { offline, scope = usual, ...rest } = options;
  const has = scope.split(" ").includes("offline_access");
  return over({ issuer, scope: offline && !has ? `${scope} offline_access` : scope }, rest);
}

/** What a preset says, and in its place what was given. */
function over<A extends object, B extends object>(own: A, given: B): A & B {
  const there = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...own, ...(Object.fromEntries(there) as B) };
}
