// gatepass doctor

import { guardSource, isLoopback, modeOf } from "./checker.js";
import type { Call, Command } from "./command.js";
import type { Configuration } from "./configuration.js";
import { EXIT } from "./failure.js";
import { SETTINGS, isSecret } from "./setting.js";
import { plain } from "./terminal.js";

/** One thing that was looked at. */
interface Finding {
  readonly what: string;
  readonly isGood: boolean;
  readonly found: string;
  /** What probably is behind it, and what to do. */
  readonly cause?: string;
}

/** Providers and guards allow for this much by default. */
const CLOCK_TOLERANCE_S = 30;

export const doctor: Command = {
  name: "doctor",
  summary:
    "Looks at versions, configuration, every endpoint and the clock, and says what is wrong.",
  settings: [
    "provider",
    "domain",
    "tenant",
    "issuer",
    "audience",
    "clientId",
    "clientSecret",
    "clientAuth",
    "introspectionUrl",
    "mode",
    "timeout",
  ],

  async run({ configure, flags, terminal, version }) {
    const configuration = configure();
    const mode = modeOf(configuration);
    if (mode === "jwt" || mode === "introspect") guardSource(configuration, mode);
    const findings: Finding[] = [
      { what: "gatepass", isGood: true, found: version },
      { what: "Node", isGood: true, found: process.version },
      { what: "mode", isGood: true, found: mode },
      ...settings(configuration),
      ...configuration.problems.map((problem) => ({
        what: "configuration",
        isGood: false,
        found: problem,
      })),
    ];
    const isConfigured = configuration.problems.length === 0;
    if (configuration.text("issuer") !== undefined) {
      findings.push(...(await reach(configuration, mode)));
    }
    const isGood = findings.every((finding) => finding.isGood);
    if (flags["json"] === true) terminal.out(JSON.stringify({ good: isGood, findings }));
    else for (const finding of findings) show(finding, terminal);
    if (isGood) return 0;
    return isConfigured ? EXIT.failed : EXIT.configuration;
  },
};

function show({ what, isGood, found, cause }: Finding, terminal: Call["terminal"]): void {
  const mark = isGood ? terminal.green("ok  ") : terminal.red("FAIL");
  terminal.out(`${mark} ${what}: ${plain(found)}`);
  if (cause !== undefined) terminal.out(`     ${plain(cause)}`);
}

/** What is set and where it came from; of a secret nothing but that. */
function settings(configuration: Configuration): readonly Finding[] {
  return SETTINGS.flatMap((setting) => {
    const found = configuration.found(setting.name);
    if (!found) return [];
    const value = isSecret(setting) ? "***" : String(found.value);
    return [{ what: setting.name, isGood: true, found: `${value} (${found.where})` }];
  });
}

async function reach(configuration: Configuration, mode: string): Promise<readonly Finding[]> {
  const issuer = configuration.text("issuer") ?? "";
  const timeoutMs = 1000 * (configuration.integer("timeout") ?? 5);
  const findings: Finding[] = [];
  const look = async (
    what: string,
    url: string,
    init?: RequestInit,
  ): Promise<Answer | undefined> => {
    const answer = await ask(url, timeoutMs, init);
    if (typeof answer !== "string") return answer;
    findings.push({
      what,
      isGood: false,
      found: `${url} does not answer`,
      cause: answer,
    });
    return undefined;
  };
  if (!issuer.startsWith("https:") && !isLoopback(issuer)) {
    const cause = "Tokens and secrets would cross the network for everybody to read.";
    return [{ what: "issuer", isGood: false, found: "it is not https", cause }];
  }

  // 1. Its metadata, in both forms, and whether it has the issuer's name letter by letter.
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/u, "");
  const places = [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
  let metadata: Readonly<Record<string, unknown>> | undefined;
  for (const place of places) {
    const answer = await look("discovery", place);
    if (!answer) return findings;
    findings.push(...clock(answer));
    if (answer.status !== 200) continue;
    metadata = answer.json;
    const isNamed = metadata?.["issuer"] === issuer;
    const cause = metadata
      ? `It says its issuer is ${JSON.stringify(metadata["issuer"])}; set exactly that, letter by letter.`
      : "It answered, but not with a JSON object: probably a web page under a wrong path.";
    findings.push({
      what: "discovery",
      isGood: isNamed,
      found: place,
      ...(!isNamed && { cause }),
    });
    break;
  }
  if (!metadata) {
    const isNeeded = mode === "jwt" || !configuration.isSidecar;
    findings.push({
      what: "discovery",
      isGood: !isNeeded,
      found: `${issuer} publishes no metadata`,
      ...(isNeeded && {
        cause: "Probably the issuer is not the provider's address, or its path is wrong.",
      }),
    });
  }

  // 2. The keys.
  const keys = metadata?.["jwks_uri"];
  if (typeof keys === "string") {
    const answer = await look("keys", keys);
    const list = answer?.json?.["keys"];
    if (answer) {
      const isGood = Array.isArray(list) && list.length > 0;
      const count = Array.isArray(list)
        ? `${list.length} keys`
        : `status ${answer.status}, no keys`;
      findings.push({ what: "keys", isGood, found: `${count} at ${keys}` });
    }
  }

  // 3. Introspection, with a token that nobody issued: an answer shows that our credentials are good.
  if (mode === "introspect") {
    const named = configuration.text("introspectionUrl") ?? metadata?.["introspection_endpoint"];
    const url = typeof named === "string" ? named : `${origin}${path}/oauth/introspect`;
    const answer = await look("introspection", url, credentials(configuration));
    if (answer) {
      const isGood = answer.status === 200 && answer.json?.["active"] === false;
      findings.push({
        what: "introspection",
        isGood,
        found: `${url} answered with status ${answer.status}`,
        ...(!isGood && { cause: introspectionCause(answer) }),
      });
    }
  }
  return findings;
}

function introspectionCause({ status, json }: Answer): string {
  if (status === 401 || status === 400) {
    return "Client id or secret are wrong, or the provider wants them in another way: try --client-auth.";
  }
  if (status === 403) return "This client may not introspect; the provider has a setting for that.";
  if (status === 404) return "There is no such endpoint; set --introspection-url.";
  if (json?.["active"] === true)
    return "It calls a token good that nobody issued: do not trust it.";
  return "The answer is not what RFC 7662 section 2.2 says.";
}

function credentials(configuration: Configuration): RequestInit {
  const clientId = configuration.text("clientId") ?? "mockforge";
  const secret = configuration.text("clientSecret") ?? "";
  const auth = configuration.text("clientAuth") ?? "client_secret_basic";
  const form = new URLSearchParams({
    token: "gatepass-doctor-asks-about-no-token",
  });
  const headers: Record<string, string> = { accept: "application/json" };
  if (auth === "client_secret_post") {
    form.set("client_id", clientId);
    form.set("client_secret", secret);
  } else {
    // RFC 6749 section 2.3.1: both are encoded as in a form before they are joined.
    const encode = (text: string): string =>
      auth.endsWith("raw") ? text : new URLSearchParams({ "": text }).toString().slice(1);
    const pair = Buffer.from(`${encode(clientId)}:${encode(secret)}`).toString("base64");
    headers["authorization"] = `Basic ${pair}`;
  }
  return { method: "POST", body: form, headers };
}

interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>> | undefined;
  /** How far our clock is ahead of the server's, in seconds, about. */
  readonly ahead: number | undefined;
}

/** The answer, or the likely cause of there being none. */
async function ask(url: string, timeoutMs: number, init?: RequestInit): Promise<Answer | string> {
  try {
    const before = Date.now();
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { redirect: "manual", ...init, signal });
    const midway = (before + Date.now()) / 2;
    const text = await response.text();
    const date = Date.parse(response.headers.get("date") ?? "");
    return {
      status: response.status,
      json: object(text),
      // The header has whole seconds, so the truth is half of one later on average.
      ahead: Number.isNaN(date) ? undefined : Math.round((midway - date - 500) / 1000),
    };
  } catch (error) {
    return unreachable(error);
  }
}

function clock({ ahead }: Answer): readonly Finding[] {
  if (ahead === undefined) return [];
  const isGood = Math.abs(ahead) <= CLOCK_TOLERANCE_S;
  const found = `${Math.abs(ahead)} s ${ahead < 0 ? "behind" : "ahead of"} the provider`;
  const cause = "Good tokens will be refused as expired or as issued in the future: set the clock.";
  return [{ what: "clock", isGood, found, ...(!isGood && { cause }) }];
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

function unreachable(error: unknown): string {
  const { name, cause } = error as Error & { cause?: { code?: string } };
  if (name === "TimeoutError")
    return "No answer in time: a firewall, or the provider is overloaded.";
  const code = cause?.code ?? "no code";
  const known: Readonly<Record<string, string>> = {
    ENOTFOUND: "The host's name cannot be resolved: a misspelt name, or no DNS here.",
    EAI_AGAIN: "The host's name cannot be resolved at present: no DNS here.",
    ECONNREFUSED: "Nothing listens there: a wrong port, or the provider is down.",
    ECONNRESET: "The connection was broken off: a proxy in between, or http where https is spoken.",
    CERT_HAS_EXPIRED: "The server's certificate has expired.",
    DEPTH_ZERO_SELF_SIGNED_CERT:
      "The certificate is self-signed: give it with NODE_EXTRA_CA_CERTS.",
    SELF_SIGNED_CERT_IN_CHAIN: "An own authority signed: give it with NODE_EXTRA_CA_CERTS.",
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: "The server does not send its whole certificate chain.",
    ERR_TLS_CERT_ALTNAME_INVALID: "The certificate is for another name.",
  };
  return known[code] ?? `The network says ${code}.`;
}
