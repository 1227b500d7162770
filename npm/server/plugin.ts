// POST /plugin/authenticate: the question of an API mock or a gateway, as JSON, and its answer.

import { METHOD } from "../cli/pattern.js";
import type { Decision } from "./decide.js";
import { targetIn } from "./route.js";

/** What is asked: may this request, with these credentials, go on? */
export interface Question {
  readonly method: string;
  readonly uri: string;
  readonly authorization: string | undefined;
  readonly dpop: string | undefined;
  readonly destination: string | undefined;
}

/** The answer. `error` says why not. */
export interface AuthResult {
  readonly authenticated: boolean;
  readonly user_id: string | null;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly scope: string | null;
  readonly error?: string;
}

/**
 * Reads `{"context": {"method", "uri", "headers"}, "credentials": {"type": "bearer", "token"}}`.
 * Without credentials the headers' own `Authorization` counts; two that differ are a mistake.
 *
 * @returns the name of the member that is wrong, where one is
 */
export function readQuestion(body: string): Question | string {
  const asked = object(parse(body));
  if (!asked) return "body";
  const context = object(asked["context"]);
  if (!context) return "context";
  const { method, uri, headers = {} } = context;
  if (typeof method !== "string" || !METHOD.test(method) || method.length > 20)
    return "context.method";
  if (typeof uri !== "string" || uri === "") return "context.uri";
  const given = object(headers);
  const names = Object.keys(given ?? {});
  if (!given || names.some((name) => typeof given[name] !== "string")) return "context.headers";
  const header = (wanted: string): string[] =>
    names.filter((name) => name.toLowerCase() === wanted).map((name) => String(given[name]));

  const authorizations = header("authorization");
  if (asked["credentials"] !== undefined && asked["credentials"] !== null) {
    const credentials = object(asked["credentials"]);
    if (!credentials) return "credentials";
    const { type, token } = credentials;
    if (typeof type !== "string" || type.toLowerCase() !== "bearer") return "credentials.type";
    if (typeof token !== "string" || !/^[\x21-\x7e]*$/u.test(token)) return "credentials.token";
    const shown = `Bearer ${token}`;
    if (!authorizations.some((one) => one.replace(/^bearer /iu, "Bearer ") === shown))
      authorizations.push(shown);
  }
  // Joined as Fetch joins repeated headers, which the guard then refuses.
  const join = (values: readonly string[]): string | undefined =>
    values.length === 0 ? undefined : values.join(", ");
  return {
    method,
    uri: targetIn(uri) || "/",
    authorization: join(authorizations),
    dpop: join(header("dpop")),
    destination: join(header("destination")),
  };
}

export function authResult({ status, principal, code }: Decision): AuthResult {
  const authenticated = status === 200;
  return {
    authenticated,
    user_id: principal?.subject ?? null,
    claims: principal?.claims ?? {},
    scope: principal ? principal.scopes.join(" ") : null,
    ...(authenticated ? {} : { error: code ?? "internal_error" }),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const object = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
