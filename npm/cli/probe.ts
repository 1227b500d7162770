// Asks an address whether it is there, and says what probably is wrong where it is not.

import { isLoopback } from "./checker.js";

export interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>> | undefined;
  /** How far our clock is ahead of the server's, in seconds, about. */
  readonly ahead: number | undefined;
}

/** No document of a provider is longer. */
const LONGEST = 1024 * 1024;

/** The answer, or the likely cause of there being none. */
export async function ask(
  url: string,
  timeoutMs: number,
  init?: RequestInit,
): Promise<Answer | string> {
  const problem = unaskable(url);
  if (problem !== undefined) return problem;
  try {
    const before = Date.now();
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { redirect: "manual", ...init, signal });
    const midway = (before + Date.now()) / 2;
    const date = Date.parse(response.headers.get("date") ?? "");
    return {
      status: response.status,
      json: object(await textOf(response)),
      // The header has whole seconds, so the truth is half of one later on average.
      ahead: Number.isNaN(date) ? undefined : Math.round((midway - date - 500) / 1000),
    };
  } catch (error) {
    return unreachable(error);
  }
}

/** Why nothing is sent to an address at all. */
function unaskable(url: string): string | undefined {
  if (!URL.canParse(url)) return "That is no address: it must begin with https://.";
  const { protocol, username, password } = new URL(url);
  if (protocol !== "https:" && !isLoopback(url)) {
    return "It is not https: tokens and secrets would cross the network for everybody to read.";
  }
  return username === "" && password === ""
    ? undefined
    : "A name or password stands in the address, which is never sent: remove it.";
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > LONGEST) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function object(text: string): Answer["json"] {
  try {
    const value = JSON.parse(text) as unknown;
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Answer["json"]) : undefined;
  } catch {
    return undefined;
  }
}

const NOT_TLS = "http is spoken there, not https: a wrong port, or a proxy in between.";
const NO_ROUTE = "No way leads there: no network, a VPN that is off, or a firewall.";
const NO_ANSWER = "No answer in time: a firewall, or the provider is overloaded.";

const CAUSES: Readonly<Record<string, string>> = {
  ENOTFOUND: "The host's name cannot be resolved: a misspelt name, or no DNS here.",
  EAI_AGAIN: "The host's name cannot be resolved at present: no DNS here.",
  ECONNREFUSED: "Nothing listens there: a wrong port, or the provider is down.",
  ECONNRESET: "The connection was broken off: a proxy in between, or http where https is spoken.",
  UND_ERR_SOCKET:
    "The connection was broken off: a proxy in between, or http where https is spoken.",
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  ETIMEDOUT: NO_ANSWER,
  UND_ERR_CONNECT_TIMEOUT: NO_ANSWER,
  EPROTO: NOT_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  CERT_HAS_EXPIRED: "The server's certificate has expired, or the clock here is wrong.",
  CERT_NOT_YET_VALID: "The server's certificate is not valid yet, or the clock here is wrong.",
  DEPTH_ZERO_SELF_SIGNED_CERT: "The certificate is self-signed: give it with NODE_EXTRA_CA_CERTS.",
  SELF_SIGNED_CERT_IN_CHAIN: "An own authority signed: give it with NODE_EXTRA_CA_CERTS.",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "An own authority signed: give it with NODE_EXTRA_CA_CERTS.",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "The server does not send its whole certificate chain.",
  ERR_TLS_CERT_ALTNAME_INVALID: "The certificate is for another name.",
};

function unreachable(error: unknown): string {
  const { name, cause } = error as Error & { cause?: { code?: string } };
  if (name === "TimeoutError") return NO_ANSWER;
  const code = cause?.code;
  if (code === undefined)
    return "No request can be sent there: the port is one that fetch refuses.";
  return CAUSES[code] ?? `The network says ${code}: a proxy or a firewall in between.`;
}
