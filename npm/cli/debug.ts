// What goes over the wire, shown without what is secret in it.

import { createHash } from "node:crypto";

/** Members and parameters whose values are secret or become one. */
const SECRET =
  /^(?:access_token|refresh_token|id_token|id_token_hint|token|client_secret|code|code_verifier|assertion|client_assertion|subject_token|actor_token|device_code|password|request|state|nonce)$/u;
const SECRET_HEADER = /^(?:authorization|proxy-authorization|cookie|set-cookie|dpop)$/iu;

/** In place of a secret: so that two can be told apart, and nothing more. */
const mask = (secret: string): string =>
  `***${createHash("sha256").update(secret).digest("hex").slice(0, 4)}`;

/** What else is not shown, by name: what a user configured may be a secret too. */
export interface Hidden {
  readonly headers?: readonly string[];
  readonly params?: readonly string[];
}

type IsSecret = (name: string) => boolean;

/** A name that cannot be decoded is one like any other. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}

/** A form or a query. */
function maskForm(text: string, isSecret: IsSecret): string {
  return text
    .split("&")
    .map((pair) => {
      const [name = "", value = ""] = pair.split(/=(.*)/su);
      const isHidden = isSecret(decoded(name));
      return isHidden ? `${name}=${mask(value)}` : pair;
    })
    .join("&");
}

function maskJson(value: unknown, isSecret: IsSecret): unknown {
  if (Array.isArray(value)) return value.map((item) => maskJson(item, isSecret));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      isSecret(name) && typeof item !== "object" ? mask(String(item)) : maskJson(item, isSecret),
    ]),
  );
}

/** Only what can be read whole is shown: anything else could be a secret in a form of its own. */
function maskBody(text: string, type: string, isSecret: IsSecret): string {
  try {
    if (/^application\/x-www-form-urlencoded\b/iu.test(type)) return maskForm(text, isSecret);
    if (/^application\/(?:[\w.-]+\+)?json\b/iu.test(type))
      return JSON.stringify(maskJson(JSON.parse(text), isSecret));
  } catch {
    // As below.
  }
  return `(${Buffer.byteLength(text)} bytes)`;
}

/** An address without user name, password and what is secret in its query. */
export function maskUrl(url: string, { params = [] }: Hidden = {}): string {
  const isSecret = (name: string): boolean => SECRET.test(name) || params.includes(name);
  const [address = "", query] = url
    .replace(/^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/iu, "$1***@")
    .split(/\?(.*)/su);
  return query === undefined ? address : `${address}?${maskForm(query, isSecret)}`;
}

/**
 * A `fetch` that tells where it sends something, and how soon and with which status it is answered. What
 * is in requests and answers is somebody else's, may be secret under any name, and may have no end.
 */
export function tellingOutline(send: typeof fetch, tell: (line: string) => void): typeof fetch {
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    tell(`> ${init?.method ?? "GET"} ${outlineOf(url)}`);
    const started = performance.now();
    const after = (): string => `after ${Math.round(performance.now() - started)} ms`;
    try {
      const response = await send(input, init);
      tell(`< ${`${response.status} ${response.statusText}`.trimEnd()} ${after()}`);
      return response;
    } catch (error) {
      tell(`< no answer ${after()}`);
      throw error;
    }
  };
}

/** An address with the names in its query but no values, and without what follows a # and stays here. */
function outlineOf(url: string): string {
  const [address = "", query] = (url.split("#", 1)[0] ?? "").split(/\?(.*)/su);
  if (query === undefined) return address;
  const names = query.split("&").map((pair) => pair.replace(/(^[^=]*$|(?<==).*$)/su, "***"));
  return `${address}?${names.join("&")}`;
}

/** A `fetch` that tells what it sends and gets, without secrets. */
export function showing(
  send: typeof fetch,
  tell: (line: string) => void,
  hidden: Hidden = {},
): typeof fetch {
  const hiddenHeaders = (hidden.headers ?? []).map((name) => name.toLowerCase());
  const isSecret = (name: string): boolean =>
    SECRET.test(name) || (hidden.params ?? []).includes(name);
  const isSecretHeader = (name: string): boolean =>
    SECRET_HEADER.test(name) || hiddenHeaders.includes(name);
  const lines = (headers: Headers): string[] =>
    [...headers].map(([name, value]) => `${name}: ${isSecretHeader(name) ? mask(value) : value}`);
  const block = (mark: string, head: string, headers: Headers, body: string | undefined): void => {
    const type = headers.get("content-type") ?? "";
    const shown = body === undefined || body === "" ? [] : ["", maskBody(body, type, isSecret)];
    for (const line of [head, ...lines(headers), ...shown]) tell(`${mark} ${line}`.trimEnd());
  };
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    const body = typeof init?.body === "string" ? init.body : undefined;
    const url = input instanceof Request ? input.url : String(input);
    block(">", `${init?.method ?? "GET"} ${maskUrl(url, hidden)}`, headers, body);
    const response = await send(input, init);
    const text = await response.text();
    const { status, statusText } = response;
    block("<", `${status} ${statusText}`.trimEnd(), response.headers, text);
    const hasBody = ![204, 205, 304].includes(status);
    return new Response(hasBody ? text : null, {
      status,
      statusText,
      headers: response.headers,
    });
  };
}
