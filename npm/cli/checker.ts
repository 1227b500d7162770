// How tokens are to be checked, out of the configuration.

import { GatepassError } from "gatepass/guard";
import type { GuardOptions, Need } from "gatepass/guard";

import { STREAM } from "../server/route.js";
import type { Route } from "../server/route.js";
import { guardDecider } from "../server/decide.js";
import type { Decision, GuardSource } from "../server/decide.js";
import type { Configuration } from "./configuration.js";
import { EXIT, hintOf, misconfigured } from "./failure.js";
import { isObject, type Json } from "./document.js";
import type { SettingName } from "./setting.js";

/** Without a name of its own, the sidecar uses this one. */
const SIDECAR_CLIENT_ID = "mockforge";
/** Where a server that publishes nothing is asked. */
const INTROSPECTION_PATH = "/oauth/introspect";

/** Questions under way at a time. A service has nothing else to do, and a provider has many clients. */
const CONCURRENCY = 256;

export type Mode = "introspect" | "jwt" | "static" | "none";

export function modeOf(configuration: Configuration): Mode {
  // Only who can say who it is may ask about tokens (RFC 7662 section 2.1).
  const asks = configuration.found("clientSecret") !== undefined;
  return (configuration.text("mode") as Mode | undefined) ?? (asks ? "introspect" : "jwt");
}

/** Under which origin clients know the API, where somebody says so. */
export const publicOriginOf = (configuration: Configuration): string | undefined =>
  configuration.text("publicOrigin") ?? originOf(configuration.text("resource"));

/** The options of a guard. What is missing becomes a problem of the configuration. */
export function guardSource(configuration: Configuration, mode: Mode): GuardSource {
  const issuer = configuration.need("issuer");
  const provider = configuration.text("provider");
  const timeout = configuration.integer("timeout");
  const resource = configuration.text("resource");
  const publicOrigin = publicOriginOf(configuration);
  const requiredScopes = configuration.list("requiredScopes");
  const clientId = configuration.isSidecar
    ? (configuration.text("clientId") ?? SIDECAR_CLIENT_ID)
    : configuration.text("clientId");

  const named = configuration.list("audience");
  const audience = named.length > 0 || resource === undefined ? named : [resource];
  // The sidecar's own variables have no audience. It then takes tokens that name none.
  const isNameless = configuration.isSidecar && audience.length === 0 && mode === "introspect";
  if (audience.length === 0 && !isNameless) configuration.need("audience");

  const options: Record<string, unknown> = {
    issuer,
    audience: isNameless ? [clientId] : audience,
    ...(isLoopback(issuer) && { dangerouslyAllowHttpLoopback: true }),
    ...(provider !== undefined && { profile: provider }),
    ...(timeout !== undefined && { timeout }),
    ...(resource !== undefined && { resource }),
    ...(publicOrigin !== undefined && { publicOrigin }),
    ...(requiredScopes.length > 0 && { requiredScopes }),
  };
  let introspectAt: string | undefined;
  if (mode === "introspect") {
    const endpoint = configuration.text("introspectionUrl");
    const auth = configuration.text("clientAuth");
    const ttl = configuration.integer("cacheTtl");
    options["introspection"] = {
      clientId: clientId ?? configuration.need("clientId"),
      clientSecret: configuration.need("clientSecret"),
      tokens: "all",
      concurrency: CONCURRENCY,
      ...(auth !== undefined && { auth }),
      ...(endpoint !== undefined && { endpoint }),
      ...(ttl !== undefined && { cache: { ttl } }),
      ...(configuration.isOn("userinfo") && { userinfo: true }),
      ...(isNameless && { dangerouslyAllowMissingAudience: true }),
    };
    if (configuration.isSidecar && endpoint === undefined) {
      introspectAt = issuer.replace(/\/$/u, "") + INTROSPECTION_PATH;
    }
  }
  const own = configuration.member("guard");
  if (own !== undefined && !isObject(own)) {
    configuration.problems.push(`${configuration.where(["guard"])}: guard must be an object.`);
  }
  const merged = merge(options, isObject(own) ? own : {}) as unknown as GuardOptions;
  return introspectAt === undefined ? { options: merged } : { options: merged, introspectAt };
}

/** The rules by path, or nothing where the file has none. */
export function routesOf(configuration: Configuration): readonly Route[] | undefined {
  const routes = configuration.member("routes");
  if (routes === undefined) return undefined;
  const complain = (path: readonly (string | number)[], problem: string): undefined => {
    configuration.problems.push(`${configuration.where(path)}: ${problem}`);
  };
  if (!Array.isArray(routes)) return complain(["routes"], "routes must be a list.");
  return (routes as readonly Json[]).flatMap((item, at): Route[] => {
    const route = isObject(item) ? item : {};
    const { path, methods, required = true, ...need } = route;
    const unknown = Object.keys(need).find((name) => !NEEDS.includes(name));
    if (typeof path !== "string" || !path.startsWith("/")) {
      complain(["routes", at, "path"], "a route needs a path that begins with /.");
    } else if (NEVER_MET.test(path) || STREAM.test(path)) {
      complain(
        ["routes", at, "path"],
        "no request has this path: write it decoded, without ?, #, \\, //, ** and types of streams such as :$DATA, and no segment that ends in a dot or a space.",
      );
    } else if (methods !== undefined && !isTextList(methods)) {
      complain(["routes", at, "methods"], "methods must be a list of texts.");
    } else if (typeof required !== "boolean") {
      complain(["routes", at, "required"], "required must be true or false.");
    } else if (unknown !== undefined) {
      complain(["routes", at, unknown], `a route has no "${unknown}".`);
    } else if (Object.values(need).some((value) => !isNeed(value))) {
      complain(["routes", at], "what a route needs are texts and lists of texts.");
    } else {
      const own = methods === undefined ? {} : { methods: methods as readonly string[] };
      return [{ path, ...own, required, need: need as Need }];
    }
    return [];
  });
}

/** What stands in no path as rules are compared with it: such a rule would keep nobody out. */
const NEVER_MET = /[?#\\]|%[\da-f]{2}|\/\/|\*\*|[. ](?:\/|$)/iu;

/** The members of a route that say what a token must be good for. */
export const NEEDS: readonly string[] = [
  "scopes",
  "anyScopes",
  "roles",
  "anyRoles",
  "permissions",
  "acr",
  "maxAge",
];

/** What the core says of an option, with the place where it stands. */
export function explain(configuration: Configuration, error: unknown): string {
  if (!(error instanceof GatepassError)) throw error;
  const { at, code, hint } = error;
  const where = configuration.found(at as SettingName)?.where;
  const place = where ?? configuration.where(["guard", ...(at ?? "").split(".")]);
  return `${place}: ${at === undefined ? "" : `${at}: `}${code}: ${hintOf(code, hint)}`;
}

/** Where nobody said anything about the token: what is not here is another failure. */
const UNANSWERED: Readonly<Record<string, number>> = {
  upstream_timeout: EXIT.timeout,
  // The provider refuses who asks, as it does when a token is asked for.
  credentials_refused: EXIT.refused,
};

/** The verdict on one token, with the exit code that it means. */
export async function decisionOf(
  configuration: Configuration,
  source: GuardSource,
  token: string,
): Promise<Decision & { readonly exitCode: number }> {
  const decider = guardDecider(source, () => {});
  try {
    const authorization = `Bearer ${token}`;
    const shown = { authorization, method: "GET", url: "http://localhost/" };
    const decision = await decider.decide(shown, {});
    const { status, code } = decision;
    if (status === 200) return { ...decision, exitCode: 0 };
    const exitCode = status === 503 ? (UNANSWERED[code ?? ""] ?? EXIT.failed) : EXIT.refused;
    return { ...decision, exitCode };
  } catch (error) {
    configuration.problems.push(explain(configuration, error));
    throw misconfigured(...configuration.problems);
  } finally {
    decider.dispose();
  }
}

export function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
}

const originOf = (url: string | undefined): string | undefined =>
  url !== undefined && URL.canParse(url) ? new URL(url).origin : undefined;

const isTextList = (value: Json): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string");

const isNeed = (value: Json): boolean =>
  typeof value === "string" || typeof value === "number" || isTextList(value);

/** Members of the second win; objects are merged. */
function merge(base: Record<string, unknown>, over: Readonly<Record<string, Json>>): object {
  const merged = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const old = merged[name];
    const isBoth = isObject(value) && typeof old === "object" && old !== null;
    merged[name] = isBoth ? merge(old as Record<string, unknown>, value) : value;
  }
  return merged;
}
