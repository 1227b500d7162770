// gatepass doctor

import { ACCOUNT_SETTINGS, Account } from "./account.js";
import { modeOf } from "./checker.js";
import type { Mode } from "./checker.js";
import type { Call, Command } from "./command.js";
import { CONFIG_TEST, configTest } from "./config-test.js";
import type { Configuration } from "./configuration.js";
import { maskUrl } from "./debug.js";
import { EXIT, Failure, misconfigured } from "./failure.js";
import { ask } from "./probe.js";
import type { Answer } from "./probe.js";
import { endpointsOf, findProvider, metadataUrls } from "./provider.js";
import { testService } from "./serve.js";
import { SETTINGS, isSecret } from "./setting.js";
import type { Setting, SettingName } from "./setting.js";
import { plain } from "./terminal.js";

/** One thing that was looked at. */
type Finding = { readonly what: string; readonly found: string } & (
  | { readonly isGood: true }
  /** What probably is behind it, and what to do. */
  | { readonly isGood: false; readonly cause: string }
);

type Metadata = Readonly<Record<string, unknown>>;

/** Providers and guards allow for this much by default. */
const CLOCK_TOLERANCE_S = 30;
const TIMEOUT_S = 5;

/** The endpoints of a provider that may be asked, by their names in its metadata. */
const ENDPOINTS: Readonly<Record<string, string>> = {
  authorization_endpoint: "authorization endpoint",
  token_endpoint: "token endpoint",
  device_authorization_endpoint: "device endpoint",
  pushed_authorization_request_endpoint: "pushed request endpoint",
  introspection_endpoint: "introspection endpoint",
  revocation_endpoint: "revocation endpoint",
  userinfo_endpoint: "userinfo endpoint",
  end_session_endpoint: "sign-out endpoint",
  registration_endpoint: "registration endpoint",
};

/** Only who gets tokens sets one of these. */
const OF_CLIENTS = [
  "authUrl",
  "tokenUrl",
  "deviceUrl",
  "revocationUrl",
  "jwksUrl",
  "endpoint",
  "flow",
  "redirectUri",
  "scopes",
  "resources",
  "params",
  "headers",
  "store",
  "storePath",
  "refreshSkew",
  "accessToken",
] as const satisfies readonly SettingName[];

/** What a configuration is for: to get tokens, to check them, or both. */
function purposeOf(configuration: Configuration): { isClient: boolean; isService: boolean } {
  const has = (name: SettingName): boolean => configuration.found(name) !== undefined;
  // Who asks about tokens has a secret, who checks them an audience; who just signs in has neither.
  const isPublic =
    has("clientId") &&
    !["clientSecret", "audience", "mode"].some((name) => has(name as SettingName));
  const isClient = OF_CLIENTS.some(has) || (isPublic && !configuration.isSidecar);
  return { isClient, isService: !isClient || has("mode") };
}

export const doctor: Command = {
  name: "doctor",
  summary:
    "Looks at versions, configuration, every endpoint and the clock, and says what is wrong.",
  more: [
    "With settings for getting tokens it looks for the provider as login and token do, with those of a",
    "service as serve does. Endpoints are asked without credentials whether they answer; only to ask",
    "about a token that nobody issued does a service show its secret.",
  ],
  settings: [...ACCOUNT_SETTINGS, "accessToken", "introspectionUrl", "mode"],
  flags: [CONFIG_TEST],

  async run(call) {
    const { configure, env, flags, terminal, version } = call;
    const configuration = await configure();
    const { isClient, isService } = purposeOf(configuration);
    const problems = [
      ...new Set([
        ...(isService ? await problemsOf(() => testService(configuration)) : []),
        ...(isClient ? await problemsOf(() => Account.test(configuration, call)) : []),
        ...configuration.problems,
      ]),
    ];
    if (flags["config-test"] === true) {
      return configTest(call, async () => {
        if (problems.length > 0) throw misconfigured(...problems);
      });
    }
    const mode = modeOf(configuration);
    const findings: Finding[] = [
      { what: "gatepass", isGood: true, found: version },
      { what: "Node", isGood: true, found: process.version },
      ...(isService ? [{ what: "mode", isGood: true, found: mode } as const] : []),
      // One that is given stands among the settings.
      ...(isClient && !configuration.found("flow")
        ? [{ what: "flow", isGood: true, found: "code" } as const]
        : []),
      ...settings(configuration),
      ...problems.filter(isOneMistake).map((problem) => ({
        what: "configuration",
        isGood: false as const,
        found: problem,
        cause: causeOf(problem, configuration, env),
      })),
      ...(await reach(configuration, isClient, isService ? mode : undefined)),
    ];
    const isGood = findings.every((finding) => finding.isGood);
    if (flags["json"] === true) terminal.out(JSON.stringify({ good: isGood, findings }));
    else for (const finding of findings) show(finding, terminal);
    if (isGood) return 0;
    return problems.length === 0 ? EXIT.failed : EXIT.configuration;
  },
};

function show(finding: Finding, terminal: Call["terminal"]): void {
  const { green, red } = terminal.out;
  const mark = finding.isGood ? green("ok  ") : red("FAIL");
  terminal.out(`${mark} ${finding.what}: ${plain(finding.found)}`);
  if (!finding.isGood) terminal.out(`     ${plain(finding.cause)}`);
}

async function problemsOf(test: () => Promise<void>): Promise<readonly string[]> {
  try {
    await test();
    return [];
  } catch (error) {
    if (error instanceof Failure) return error.lines;
    throw error;
  }
}

/** Not what is said around a list of them. */
const isOneMistake = (problem: string, _at: number, all: readonly string[]): boolean =>
  all.length === 1 || !/^(?:OAuth2 is not configured$|Or )/u.test(problem);

/** What probably is behind a mistake in the configuration. */
function causeOf(problem: string, { prefix }: Configuration, env: Call["env"]): string {
  if (!/is not set\.$|not configured$/u.test(problem)) {
    return "Put it right where it stands; gatepass help doctor has the names and values of all settings.";
  }
  // The settings of a program that has a prefix of its own.
  const names = ["CLIENT_ID", "ISSUER", "ENDPOINT", "AUTH_URL", "AUTH_ENDPOINT", "AUDIENCE"];
  for (const variable of Object.keys(env)) {
    const name = names.find((one) => variable.endsWith(`_${one}`));
    const other = name && variable.slice(0, -name.length);
    if (other && other !== prefix && variable !== "OAUTH_CLIENT_ID") {
      return `The environment has ${variable}: --env-prefix ${other} reads it and its like.`;
    }
  }
  const bare = names.find((name) => env[name]);
  return bare
    ? `The environment has ${bare}, which counts with the prefix only: ${prefix}${bare}.`
    : "Give it as a flag, in the environment or in the file; gatepass help doctor has all names.";
}

/** What is set and where it came from; of what may be a secret nothing but that. */
function settings(configuration: Configuration): readonly Finding[] {
  return SETTINGS.flatMap((setting) => {
    const found = configuration.found(setting.name);
    if (!found) return [];
    const value = shown(setting, configuration);
    return [{ what: setting.name, isGood: true, found: `${value} (${found.where})` }];
  });
}

function shown(setting: Setting & { name: SettingName }, configuration: Configuration): string {
  if (isSecret(setting)) return "***";
  if (setting.kind === "pairs") {
    const names = Object.keys(configuration.pairs(setting.name));
    return names.map((name) => `${name}=***`).join(",");
  }
  const value = configuration.found(setting.name)?.value;
  // A text is never taken apart: half of a secret would look like something else.
  const texts = Array.isArray(value) ? (value as readonly string[]) : [String(value)];
  return texts.map((text) => maskUrl(text)).join(",");
}

/** Looks for the provider as the commands do, and at everything that it has. */
async function reach(
  configuration: Configuration,
  isClient: boolean,
  mode: Mode | undefined,
): Promise<readonly Finding[]> {
  const timeoutMs = 1000 * (configuration.integer("timeout") ?? TIMEOUT_S);
  const given = endpointsOf(configuration);
  let issuer = configuration.text("issuer");
  const findings: Finding[] = [];
  const what = "discovery";
  const unread = ({ lines }: Failure): Finding => ({
    what,
    isGood: false,
    found: lines.join(" "),
    cause: "What the provider is called is not known until it answers.",
  });
  if (isClient && issuer === undefined) {
    try {
      const provider = await findProvider(configuration, []);
      if (!provider.isNamedByOrigin) issuer = String(provider.issuer);
      else if (Object.keys(given).length > 0) {
        const found = "nothing is published near these endpoints, which are used as they are";
        findings.push(provider.doubt ? unread(provider.doubt) : { what, isGood: true, found });
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      // The configuration's own mistakes are told already.
      if (error.exitCode !== EXIT.configuration) findings.push(unread(error));
    }
  }
  const answers: Answer[] = [];
  let metadata: Metadata | undefined;
  if (issuer !== undefined) {
    const isNeeded = mode === "jwt" || (mode !== undefined && !configuration.isSidecar) || isClient;
    metadata = await discover(issuer, timeoutMs, isNeeded, findings, answers);
  }

  const known: Metadata = { ...metadata, ...given };
  const introspectionUrl =
    configuration.text("introspectionUrl") ?? known["introspection_endpoint"];
  const asks = mode === "introspect";
  const probes: Promise<Finding>[] = [];
  const probe = (what: string, url: string): void => {
    probes.push(
      ask(url, timeoutMs).then((answer) => {
        if (typeof answer !== "string") answers.push(answer);
        return typeof answer === "string"
          ? { what, isGood: false, found: `${maskUrl(url)} does not answer`, cause: answer }
          : { what, isGood: true, found: `${maskUrl(url)} answered with status ${answer.status}` };
      }),
    );
  };
  for (const [member, what] of Object.entries(ENDPOINTS)) {
    const url = member === "introspection_endpoint" ? introspectionUrl : known[member];
    // A service asks there below, as itself.
    if (typeof url === "string" && !(asks && member === "introspection_endpoint")) probe(what, url);
  }
  const keys = known["jwks_uri"];
  if (typeof keys === "string") probes.push(lookAtKeys(keys, timeoutMs));
  else if (mode === "jwt" && metadata !== undefined) {
    findings.push({
      what: "keys",
      isGood: false,
      found: "the provider names none",
      cause: "Its tokens cannot be checked by signature: ask it about them, with a client secret.",
    });
  }
  if (asks && issuer !== undefined) {
    const named = typeof introspectionUrl === "string" ? introspectionUrl : undefined;
    // What the plugin's own variables mean where nothing else is said.
    const fallback = configuration.isSidecar
      ? `${issuer.replace(/\/$/u, "")}/oauth/introspect`
      : undefined;
    probes.push(lookAtIntrospection(configuration, named ?? fallback, timeoutMs));
  }
  findings.push(...(await Promise.all(probes)));
  const timed = answers.find(({ ahead }) => ahead !== undefined);
  if (timed && !findings.some(({ what }) => what === "clock")) findings.push(...clock(timed));
  return findings;
}

/** The provider's metadata, in both forms, and whether it has the issuer's name letter by letter. */
async function discover(
  issuer: string,
  timeoutMs: number,
  isNeeded: boolean,
  findings: Finding[],
  answers: Answer[],
): Promise<Metadata | undefined> {
  const what = "discovery";
  for (const place of metadataUrls(issuer)) {
    const answer = await ask(place, timeoutMs);
    if (typeof answer === "string") {
      const found = answer.startsWith("It is not https")
        ? "it is not https"
        : `${maskUrl(place)} does not answer`;
      findings.push({ what, isGood: false, found, cause: answer });
      return undefined;
    }
    if (!findings.some((finding) => finding.what === "clock")) findings.push(...clock(answer));
    answers.push(answer);
    if (answer.status !== 200) continue;
    const { json } = answer;
    if (json?.["issuer"] === issuer) {
      findings.push({ what, isGood: true, found: place });
    } else {
      const cause = json
        ? `It says its issuer is ${JSON.stringify(json["issuer"])}; set exactly that, letter by letter.`
        : "It answered, but not with a JSON object: probably a web page under a wrong path.";
      findings.push({ what, isGood: false, found: maskUrl(place), cause });
    }
    return json;
  }
  const found = `${maskUrl(issuer)} publishes no metadata`;
  const cause = "Probably the issuer is not the provider's address, or its path is wrong.";
  findings.push(isNeeded ? { what, isGood: false, found, cause } : { what, isGood: true, found });
  return undefined;
}

async function lookAtKeys(url: string, timeoutMs: number): Promise<Finding> {
  const answer = await ask(url, timeoutMs);
  const what = "keys";
  const place = maskUrl(url);
  if (typeof answer === "string") {
    return { what, isGood: false, found: `${place} does not answer`, cause: answer };
  }
  const list = answer.json?.["keys"];
  if (!Array.isArray(list)) {
    const found = `status ${answer.status}, no keys at ${place}`;
    const cause =
      "That is no list of keys (RFC 7517): the address is wrong, or the provider broken.";
    return { what, isGood: false, found, cause };
  }
  const found = `${list.length} keys at ${place}`;
  const cause =
    "No signature can be checked: the provider has no keys yet, or is being set up; it must publish one.";
  return list.length > 0 ? { what, isGood: true, found } : { what, isGood: false, found, cause };
}

/** Asks about a token that nobody issued: the answer shows whether our credentials are good. */
async function lookAtIntrospection(
  configuration: Configuration,
  url: string | undefined,
  timeoutMs: number,
): Promise<Finding> {
  const what = "introspection";
  if (url === undefined) {
    const cause = `Where it is has to be set: ${configuration.namesOf("introspectionUrl")}.`;
    return { what, isGood: false, found: "the provider names no endpoint", cause };
  }
  const answer = await ask(url, timeoutMs, credentials(configuration));
  if (typeof answer === "string") {
    return { what, isGood: false, found: `${maskUrl(url)} does not answer`, cause: answer };
  }
  const found = `${maskUrl(url)} answered with status ${answer.status}`;
  return answer.status === 200 && answer.json?.["active"] === false
    ? { what, isGood: true, found }
    : { what, isGood: false, found, cause: introspectionCause(answer) };
}

function introspectionCause({ status, json }: Answer): string {
  if (status === 401 || status === 400) {
    return "Client id or secret are wrong, or the provider wants them in another way: try --client-auth.";
  }
  if (status === 403) return "This client may not introspect; the provider has a setting for that.";
  if (status === 404) return "There is no such endpoint; set --introspection-url.";
  if (status === 429 || status >= 500)
    return "The provider is overloaded or broken; try again later.";
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

function clock({ ahead }: Answer): readonly Finding[] {
  if (ahead === undefined) return [];
  const what = "clock";
  const found = `${Math.abs(ahead)} s ${ahead < 0 ? "behind" : "ahead of"} the provider`;
  const cause = "Good tokens will be refused as expired or as issued in the future: set the clock.";
  const isGood = Math.abs(ahead) <= CLOCK_TOLERANCE_S;
  return [isGood ? { what, isGood, found } : { what, isGood, found, cause }];
}
