// What goes over the wire, shown without what is secret in it.

import { createHash } from "node:crypto";

/** Members and parameters whose values are secret or become one. */
const SECRET =
  /^(?:access_token|refresh_token|id_token|id_token_hint|token|client_secret|code|code_verifier|assertion|client_assertion|subject_token|actor_token|device_code|password|request|state|nonce)$/u;
const SECRET_HEADER = /^(?:authorization|proxy-authorization|cookie|set-cookie|dpop)$/iu;

/** In place of a secret: so that two can be told apart, and nothing more. */
const mask = (secret: string): string =>
  `***${createHash("sha256").update(secret).digest("hex").slice(0, 4)}`;

/** A form or a query. */
function maskForm(text: string): string {
  return text
    .split("&")
    .map((pair) => {
      const [name = "", value = ""] = pair.split(/=(.*)/su);
      return SECRET.test(decodeURIComponent(name)) ? `${name}=${mask(value)}` : pair;
    })
    .join("&");
}

function maskJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET.test(name) && typeof item !== "object" ? mask(String(item)) : maskJson(item),
    ]),
  );
}

/** Only what can be read whole is shown: anything else could be a secret in a form of its own. */
function maskBody(text: string, type: string): string {
  try {
    if (/^application\/x-www-form-urlencoded\b/iu.test(type)) return maskForm(text);
    if (/^application\/(?:[\w.-]+\+)?json\b/iu.test(type))
      return JSON.stringify(maskJson(JSON.parse(text)));
  } catch {
    // As below.
  }
  return `(${Buffer.byteLength(text)} bytes)`;
}

function maskUrl(url: string): string {
  const [address = "", query] = url.split(/\?(.*)/su);
  return query === undefined ? address : `${address}?${maskForm(query)}`;
}

function lines(headers: Headers): string[] {
  return [...headers].map(
    ([name, value]) => `${name}: ${SECRET_HEADER.test(name) ? mask(value) : value}`,
  );
}

/** A `fetch` that tells what it sends and gets, without secrets. */
export function showing(send: typeof fetch, tell: (line: string) => void): typeof fetch {
  const block = (mark: string, head: string, headers: Headers, body: string | undefined): void => {
    const type = headers.get("content-type") ?? "";
    const shown = body === undefined || body === "" ? [] : ["", maskBody(body, type)];
    for (const line of [head, ...lines(headers), ...shown]) tell(`${mark} ${line}`.trimEnd());
  };
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    const body = typeof init?.body === "string" ? init.body : undefined;
    const url = input instanceof Request ? input.url : String(input);
    block(">", `${init?.method ?? "GET"} ${maskUrl(url)}`, headers, body);
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
