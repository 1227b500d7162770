// Where the provider is: by its issuer, or by the addresses of its endpoints alone.

import type { IssuerMetadata } from "gatepass/backend";

import { isLoopback } from "./checker.js";
import type { Configuration } from "./configuration.js";
import { showing } from "./debug.js";
import { EXIT, Failure, hintOf, misconfigured } from "./failure.js";
import { FIELD_TEXT } from "./pattern.js";
import type { SettingName } from "./setting.js";

export interface Provider {
  readonly issuer: string | IssuerMetadata;
  /** Sends the requests of a client. */
  readonly fetch: typeof fetch;
  /** What the provider publishes of itself, or nothing where it does not. */
  metadata(): Promise<Metadata | undefined>;
  /** Whether keys can be found, without which no ID token can be checked. */
  readonly hasKeys: boolean;
  /** Whether its name is no more than where its endpoints are: nothing was published near them. */
  readonly isNamedByOrigin: boolean;
  /** Why nobody knows whether something is published near them. */
  readonly doubt?: Failure;
  /** Whether a login that says that it was made there may be of this one. */
  mayBe(issuer: string): boolean;
}

/** A setting without which a command cannot go on, where there is no issuer. */
export type Need = "authUrl" | "deviceUrl" | "tokenUrl";

type Metadata = Readonly<Record<string, unknown>>;

/** The settings that stand in for members of the metadata. */
export const ENDPOINTS = {
  authUrl: "authorization_endpoint",
  tokenUrl: "token_endpoint",
  deviceUrl: "device_authorization_endpoint",
  revocationUrl: "revocation_endpoint",
  jwksUrl: "jwks_uri",
} as const satisfies Partial<Record<SettingName, string>>;

/** Headers that say who the client is or how the body is to be read. */
const OWN_HEADERS =
  /^(?:authorization|content-type|content-length|transfer-encoding|host|dpop|cookie|accept)$/iu;

/** As much as the core reads. */
const LONGEST_METADATA = 1024 * 1024;
/** How often a provider is asked that cannot answer at the moment, and the pause before, in milliseconds. */
const MOST_TRIES = 3;
const PAUSE_MS = 400;

/**
 * Finds the provider.
 *
 * @param needs the settings without which a command cannot go on, where there is no issuer
 * @param ask in place of `fetch`
 * @throws Failure where nothing says who the provider is
 */
export async function findProvider(
  configuration: Configuration,
  needs: readonly Need[],
  tell?: (line: string) => void,
  ask: typeof fetch = (input, init) => fetch(input, init),
): Promise<Provider> {
  const given = endpointsOf(configuration);
  const named = configuration.text("issuer") ?? (await issuerOf(configuration, ask));
  if (named === undefined) {
    const missing = needs.filter((name) => configuration.text(name) === undefined);
    // Where devices begin may be published near a token endpoint.
    const isHopeless = missing.some((name) => name !== "deviceUrl");
    if (isHopeless || configuration.text("clientId") === undefined) {
      const lines = [
        ...(isHopeless ? missing : []),
        ...(configuration.text("clientId") ? [] : ["clientId" as const]),
      ];
      throw misconfigured(
        "OAuth2 is not configured",
        ...configuration.problems,
        ...lines.map((name) => `${configuration.namesOf(name)} is not set.`),
        ...(isHopeless
          ? [`In place of addresses ${configuration.namesOf("issuer")} is enough.`]
          : []),
      );
    }
  }
  const extra = headersOf(configuration);
  configuration.check();

  const hidden = {
    headers: Object.keys(extra),
    params: Object.keys(configuration.pairs("params")),
  };
  const send = tell ? showing(ask, tell, hidden) : ask;
  const timeoutMs = timeoutOf(configuration);
  let known: Metadata | undefined;
  const read = async (issuer: string): Promise<Metadata | undefined> => {
    const found = known ?? (await firstOf(metadataUrls(issuer), send, timeoutMs));
    return (known = found && { ...found, ...given });
  };

  let issuer: string | IssuerMetadata;
  let doubt: Failure | undefined;
  if (named !== undefined) issuer = named;
  else {
    const { found, failure } = await around(given, send, timeoutMs);
    if (found) known = { ...found, ...given };
    else doubt = failure;
    const url = given["token_endpoint"] ?? given["authorization_endpoint"] ?? "";
    issuer = found ? String(found["issuer"]) : { issuer: new URL(url).origin, ...given };
  }
  const isOverridden = Object.keys(given).length > 0;
  const mayBe = namesOf(configuration);
  return {
    ...(doubt && { doubt }),
    mayBe: (name) =>
      mayBe?.(name) ?? name === (typeof issuer === "string" ? issuer : issuer.issuer),
    issuer,
    hasKeys: typeof issuer === "string" || issuer.jwks_uri !== undefined,
    isNamedByOrigin: typeof issuer !== "string",
    metadata: async () => (typeof issuer === "string" ? read(issuer) : issuer),
    async fetch(input, init) {
      const url = String(input);
      const isQuestion = (init?.method ?? "GET") === "GET";
      if (isQuestion && typeof issuer === "string" && metadataUrls(issuer).includes(url)) {
        // Read already, or with addresses of one's own in it: the core checks it as it would any.
        if (known) return Response.json(known);
        const response = await send(input, init);
        return isOverridden ? withPlaces(response, given) : response;
      }
      if (isQuestion || Object.keys(extra).length === 0) return send(input, init);
      const headers = new Headers(init?.headers);
      for (const [name, value] of Object.entries(extra)) headers.set(name, value);
      return send(input, { ...init, headers });
    },
  };
}

/**
 * Whether a login may be of the configured provider, by what it says of itself, as far as nobody has to be
 * asked; nothing where the provider's name is not known without.
 */
export function namesOf(configuration: Configuration): ((issuer: string) => boolean) | undefined {
  const named = configuration.text("issuer");
  if (named !== undefined) return (issuer) => issuer === named;
  const given = endpointsOf(configuration);
  const url = given["authorization_endpoint"] ?? given["token_endpoint"];
  if (configuration.text("endpoint") !== undefined || url === undefined) return undefined;
  const near = issuersNear(url);
  return (issuer) => near.some((one) => issuer === one || issuer === `${one}/`);
}

/** An answer with places of one's own in it; what is no metadata is as it came. */
async function withPlaces(
  response: Response,
  given: Readonly<Record<string, string>>,
): Promise<Response> {
  if (response.status !== 200) return response;
  const { text, isWhole } = await textOf(response);
  const document = isWhole ? metadataIn(text) : undefined;
  if (document) return Response.json({ ...document, ...given });
  return new Response(text, { headers: response.headers });
}

/** What stands in an answer, as far as anybody reads it, and a little more where it is longer. */
async function textOf(response: Response): Promise<{ text: string; isWhole: boolean }> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk as Uint8Array);
    length += (chunk as Uint8Array).length;
    if (length > LONGEST_METADATA) break;
  }
  return { text: Buffer.concat(chunks).toString(), isWhole: length <= LONGEST_METADATA };
}

function metadataIn(text: string): Metadata | undefined {
  try {
    const document = JSON.parse(text) as unknown;
    return typeof document === "object" && document !== null ? (document as Metadata) : undefined;
  } catch {
    // A page that answers everything.
    return undefined;
  }
}

/** The endpoints that are given one by one, by their names in the metadata. */
export function endpointsOf(configuration: Configuration): Readonly<Record<string, string>> {
  const given: Record<string, string> = {};
  for (const [setting, member] of Object.entries(ENDPOINTS)) {
    const url = configuration.text(setting as SettingName);
    if (url !== undefined) given[member] = url;
  }
  return given;
}

const timeoutOf = (configuration: Configuration): number =>
  1000 * (configuration.integer("timeout") ?? TIMEOUT_S);

function headersOf(configuration: Configuration): Readonly<Record<string, string>> {
  const extra = configuration.pairs("headers");
  const where = configuration.found("headers")?.where;
  for (const [name, value] of Object.entries(extra)) {
    if (OWN_HEADERS.test(name)) {
      configuration.problems.push(`${where}: the header ${name} is not for you to set.`);
    } else if (!FIELD_TEXT.test(value)) {
      const problem = `the header ${name} has a character that no header can carry.`;
      configuration.problems.push(`${where}: ${problem}`);
    }
  }
  return extra;
}

/** `dns:///HOST:PORT`, as gRPC writes it, or an address: the origin of a service. */
export function originOfEndpoint(endpoint: string): string | undefined {
  const [, authority] = /^(?:dns:\/{3})?([\w.-]+(?::\d{1,5})?)$/u.exec(endpoint) ?? [];
  const address = authority === undefined ? endpoint : `https://${authority}`;
  if (!URL.canParse(address)) return undefined;
  const { origin, protocol } = new URL(address);
  return protocol === "https:" || isLoopback(address) ? origin : undefined;
}

/** The issuer behind a service: the one that it names (RFC 9728), or itself. */
async function issuerOf(
  configuration: Configuration,
  ask: typeof fetch,
): Promise<string | undefined> {
  const endpoint = configuration.text("endpoint");
  if (endpoint === undefined || configuration.text("tokenUrl") !== undefined) return undefined;
  const origin = originOfEndpoint(endpoint);
  if (origin === undefined) {
    const where = configuration.found("endpoint")?.where;
    throw misconfigured(`${where}: endpoint must be https://HOST or dns:///HOST:PORT.`);
  }
  const place = `${origin}/.well-known/oauth-protected-resource`;
  const document = await firstOf([place], ask, timeoutOf(configuration));
  const servers = document?.["authorization_servers"];
  const first: unknown = Array.isArray(servers) ? servers[0] : undefined;
  return typeof first === "string" && URL.canParse(first) ? first : origin;
}

/**
 * The metadata of a provider of which only endpoints are known: what is published near them counts
 * only when it names the same endpoints.
 */
async function around(
  given: Readonly<Record<string, string>>,
  send: typeof fetch,
  timeoutMs: number,
): Promise<{ readonly found?: Metadata; readonly failure?: Failure }> {
  const url = given["authorization_endpoint"] ?? given["token_endpoint"];
  if (url === undefined) return {};
  let failure: Failure | undefined;
  for (const candidate of issuersNear(url)) {
    let found: Metadata | undefined;
    try {
      // Some gateways say 500 of what they do not know: each place is asked once.
      found = await firstOf(metadataUrls(candidate), send, timeoutMs, 1);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failure ??= error;
      if (isAway(error)) break;
    }
    if (!found) continue;
    const issuer = found["issuer"];
    const isItself = issuer === candidate || issuer === `${candidate}/`;
    const agrees = (["authorization_endpoint", "token_endpoint"] as const).every(
      (name) => given[name] === undefined || given[name] === found[name],
    );
    if (isItself && agrees) return { found };
  }
  return failure ? { failure } : {};
}

/** The issuers that an authorization or token endpoint could belong to, the likeliest first. */
export function issuersNear(url: string): readonly string[] {
  const { origin, pathname } = new URL(url);
  const [, tenant] = /^\/([^/]+)\/oauth2\/v2\.0\/(?:authorize|token)$/u.exec(pathname) ?? [];
  if (tenant !== undefined) return [`${origin}/${tenant}/v2.0`];
  const segments = pathname.split("/").filter(Boolean);
  const near = segments.map((_, at) => `${origin}/${segments.slice(0, at).join("/")}`);
  return near.map((candidate) => candidate.replace(/\/$/u, "")).reverse();
}

/** OpenID Connect Discovery 4, RFC 8414 section 3. */
export function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/u, "");
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

/**
 * The first metadata that is published at one of these addresses, each of which is asked so often at the most.
 *
 * @throws Failure where there is none and one of them could not answer
 */
async function firstOf(
  urls: readonly string[],
  send: typeof fetch,
  timeoutMs: number,
  most = MOST_TRIES,
): Promise<Metadata | undefined> {
  let failure: Failure | undefined;
  for (const url of urls) {
    try {
      const found = await metadataAt(url, send, timeoutMs, most);
      if (found) return found;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failure ??= error;
      if (isAway(error)) break;
    }
  }
  if (failure) throw failure;
  return undefined;
}

/** Whether the whole host gave no answer: what else there is of it need not be asked. */
const isAway = ({ code }: Failure): boolean =>
  code === "upstream_timeout" || code === "upstream_unreachable";

/** @throws Failure where nobody knows what is there */
async function metadataAt(
  url: string,
  send: typeof fetch,
  timeoutMs: number,
  most: number,
): Promise<Metadata | undefined> {
  // What may not be asked the core refuses by its name.
  if (!url.startsWith("https:") && !isLoopback(url)) return undefined;
  for (let tries = 1; ; tries++) {
    const asked = await ask(url, send, timeoutMs);
    if (!("failure" in asked)) return asked.found;
    const { code } = asked.failure;
    // Who took so long once is waited for once, and a connection can break at any time.
    const isOver = tries >= (code === "upstream_unreachable" ? MOST_TRIES : most);
    if (isOver || code === "upstream_timeout") throw asked.failure;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (0.5 + Math.random())));
  }
}

async function ask(
  url: string,
  send: typeof fetch,
  timeoutMs: number,
): Promise<{ readonly found: Metadata | undefined } | { readonly failure: Failure }> {
  const fails = (why: string, code: string, exitCode: number = EXIT.failed) => ({
    failure: new Failure(
      exitCode,
      [`${code}: ${url} could not be read (${why}). ${hintOf(code, "")}`.trim()],
      code,
    ),
  });
  try {
    const response = await send(url, {
      redirect: "manual",
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const { status } = response;
    const { text, isWhole } = await textOf(response);
    if (status === 429 || status >= 500) return fails(`HTTP ${status}`, "upstream_status");
    if (!isWhole) return fails("too large", "response_too_large");
    return { found: status === 200 ? metadataIn(text) : undefined };
  } catch (error) {
    const isLate = (error as Partial<DOMException> | null)?.name === "TimeoutError";
    return isLate
      ? fails("no answer in time", "upstream_timeout", EXIT.timeout)
      : fails("no connection", "upstream_unreachable");
  }
}

const TIMEOUT_S = 10;
