// Every setting once. Flags, names in the environment, members of the file, the schema and the help
// texts all come from this table.

export type Kind =
  | "text"
  | "url"
  | "secret"
  | "list"
  | "pairs"
  | "secrets"
  | "integer"
  | "switch"
  | readonly string[];

export interface Setting {
  /** Its member in the file; as a flag `--public-origin`, in the environment `PUBLIC_ORIGIN`. */
  readonly name: string;
  readonly kind: Kind;
  /** What it does, for help and schema. */
  readonly help: string;
  /** For integers: from and to. */
  readonly range?: readonly [number, number];
  /** What holds without it. */
  readonly fallback?: string | number | boolean;
  /** More names in the environment, after the prefix. */
  readonly aliases?: readonly string[];
  /** Names in the environment without any prefix; they count only where AUTH_SERVER_URL is set. */
  readonly sidecar?: string;
  /** Whether each of several servers has its own. */
  readonly perServer?: true;
  /** What it stands for in a help text. */
  readonly unit?: string;
  /** What a text looks like, and what is said of any other one. */
  readonly form?: { readonly pattern: RegExp; readonly problem: string };
  /** Whether one of a list may hold spaces, which takes a list in the file. */
  readonly hasSpaces?: true;
}

const port = [0, 65_535] as const;

export const SETTINGS = [
  {
    name: "provider",
    kind: ["auth0", "okta", "entra", "google"],
    help: "A provider whose addresses and tokens are known; with domain or tenant.",
    perServer: true,
  },
  {
    name: "domain",
    kind: "text",
    help: "Your domain at auth0 or okta.",
    perServer: true,
  },
  {
    name: "tenant",
    kind: "text",
    help: "Your tenant at entra.",
    perServer: true,
  },
  {
    name: "issuer",
    kind: "url",
    help: "The provider's issuer, letter by letter.",
    sidecar: "AUTH_SERVER_URL",
    perServer: true,
  },
  {
    name: "clientId",
    kind: "text",
    help: "Your name at the provider.",
    sidecar: "OAUTH_CLIENT_ID",
    perServer: true,
  },
  {
    name: "clientSecret",
    kind: "secret",
    help: "Its secret; never written anywhere.",
    sidecar: "OAUTH_CLIENT_SECRET",
    perServer: true,
  },
  {
    name: "clientAuth",
    kind: [
      "client_secret_basic",
      "client_secret_basic_raw",
      "client_secret_post",
      "client_secret_jwt",
      "tls_client_auth",
      "none",
    ],
    help: "How the secret is shown to the provider.",
    fallback: "client_secret_basic, or what the provider supports",
    perServer: true,
  },
  {
    name: "audience",
    kind: "list",
    help: "The names of the API: one of them must be in a token that is checked, and they are asked for where a token is got.",
    hasSpaces: true,
    perServer: true,
  },
  {
    name: "endpoint",
    kind: "text",
    help: "The service, as https://HOST or dns:///HOST:PORT, which is its own issuer or names it.",
    perServer: true,
  },
  {
    name: "authUrl",
    kind: "url",
    help: "Where users sign in, in place of discovery.",
    aliases: ["AUTH_ENDPOINT"],
    perServer: true,
  },
  {
    name: "tokenUrl",
    kind: "url",
    help: "Where tokens are issued, in place of discovery.",
    aliases: ["TOKEN_ENDPOINT"],
    perServer: true,
  },
  {
    name: "deviceUrl",
    kind: "url",
    help: "Where device logins begin, in place of discovery.",
    aliases: ["DEVICE_ENDPOINT"],
    perServer: true,
  },
  {
    name: "revocationUrl",
    kind: "url",
    help: "Where tokens are ended, in place of discovery.",
    aliases: ["REVOCATION_ENDPOINT"],
    perServer: true,
  },
  {
    name: "jwksUrl",
    kind: "url",
    help: "Where the provider's keys are, in place of discovery.",
    perServer: true,
  },
  {
    name: "flow",
    kind: ["code", "device", "client_credentials"],
    help: "How one gets a token: in the browser, with a code on another device, or as the program itself.",
    fallback: "code",
    perServer: true,
  },
  {
    name: "redirectUri",
    kind: "url",
    help: "Where the browser comes back to, on this machine.",
    fallback:
      "http://127.0.0.1:8088/callback, or http://localhost:8088/callback with AUTH_ENDPOINT",
    perServer: true,
  },
  {
    name: "scopes",
    kind: "list",
    help: "The scopes that are asked for.",
    fallback: "openid profile email, or none for client_credentials",
    aliases: ["SCOPE"],
    perServer: true,
  },
  {
    name: "resources",
    kind: "list",
    help: "The APIs that a token is asked for, as absolute URIs (RFC 8707).",
    perServer: true,
  },
  {
    name: "params",
    kind: "pairs",
    help: "More parameters of the requests for a token; NAME=VALUE, repeatable.",
    perServer: true,
  },
  {
    name: "headers",
    kind: "pairs",
    help: "More headers of the requests for a token; NAME=VALUE, repeatable.",
    perServer: true,
  },
  {
    name: "store",
    kind: ["keyring", "file", "none"],
    help: "Where tokens are kept. The keyring needs the package @napi-rs/keyring.",
    fallback: "keyring where there is one, else file; none for client_credentials",
    perServer: true,
  },
  {
    name: "storePath",
    kind: "text",
    help: "The file for store file.",
    fallback: "~/.gatepass/SERVER/tokens.json",
    form: { pattern: /^[^\0]+$/u, problem: "storePath must be a path that a file can have" },
    perServer: true,
  },
  {
    name: "refreshSkew",
    kind: "integer",
    help: "How long before its end a token is renewed; never before half of its life is over.",
    unit: "SECONDS",
    range: [0, 3600],
    fallback: 300,
    perServer: true,
  },
  {
    name: "introspectionUrl",
    kind: "url",
    help: "Where to ask about tokens, in place of discovery.",
    aliases: ["INTROSPECTION_ENDPOINT"],
    perServer: true,
  },
  {
    name: "accessToken",
    kind: "secret",
    help: "A token that you bring yourself: never refreshed, never stored.",
    // Anything else would break the header or the variable that it goes into.
    form: {
      pattern: /^[\w.~+/-]+=*$/u,
      problem: "that is not a token (RFC 6750 section 2.1)",
    },
    perServer: true,
  },
  {
    name: "timeout",
    kind: "integer",
    help: "How long the provider may take for an answer, and with gatepass request the API too.",
    unit: "SECONDS",
    range: [1, 120],
    fallback: "10 for tokens, 5 for questions about them, 60 for the API",
    perServer: true,
  },
  {
    name: "mode",
    kind: ["introspect", "jwt", "static", "none"],
    help: "How tokens are checked: by asking the provider, by their signature, against a fixed list, or not at all.",
    fallback: "introspect with a client secret, else jwt",
  },
  {
    name: "host",
    kind: "text",
    help: "The address to listen on.",
    fallback: "127.0.0.1",
    sidecar: "HOST",
  },
  {
    name: "port",
    kind: "integer",
    help: "The port to listen on; 0 takes any.",
    range: port,
    fallback: 8080,
    sidecar: "PORT",
  },
  {
    name: "upstream",
    kind: "url",
    help: "Forwards allowed requests to this server.",
  },
  {
    name: "forwardToken",
    kind: "switch",
    help: "Lets the upstream see the Authorization header. Without it the token ends here.",
    fallback: false,
  },
  {
    name: "resource",
    kind: "url",
    help: "The identifier of this API, whose metadata (RFC 9728) is served and named in challenges.",
  },
  {
    name: "publicOrigin",
    kind: "url",
    help: "The origin under which clients know this API.",
    fallback: "that of resource",
  },
  {
    name: "requiredScopes",
    kind: "list",
    help: "Scopes that every request needs.",
  },
  {
    name: "token",
    kind: "secrets",
    help: "The accepted tokens of mode static, one a line.",
  },
  {
    name: "cacheTtl",
    kind: "integer",
    help: "For how long an answer of the provider is used; 0 asks each time.",
    unit: "SECONDS",
    range: [0, 3600],
    fallback: 60,
  },
  {
    name: "userinfo",
    kind: "switch",
    help: "Adds the claims of UserInfo for tokens with the scope openid.",
    fallback: false,
  },
  {
    name: "redis",
    kind: "secret",
    help: "A Redis, as redis://HOST:PORT, in which instances share the provider's keys and, sealed, its answers about tokens. Needs the package @redis/client.",
  },
  {
    name: "rateLimit",
    kind: "integer",
    help: "How many requests a second one address may make; 0 means any number.",
    unit: "NUMBER",
    range: [0, 1_000_000],
    fallback: 0,
  },
  {
    name: "metrics",
    kind: "switch",
    help: "Serves GET /metrics for Prometheus.",
    fallback: false,
  },
  {
    name: "logLevel",
    kind: ["info", "warn", "error"],
    help: "What is logged: every decision, refusals, or troubles only.",
    fallback: "info",
  },
  {
    name: "logUser",
    kind: ["plain", "hash", "none"],
    help: "How users appear in the log: as they are, as a keyed hash that holds for one run, or not.",
    fallback: "plain",
  },
  {
    name: "basePath",
    kind: "text",
    help: "Where the service's own endpoints begin, such as /-/gatepass.",
    fallback: "",
    form: {
      pattern: /^(?:\/[\w.~-]+)+\/?$/u,
      problem: "basePath must be a plain path that begins with /",
    },
  },
  {
    name: "drainTimeout",
    kind: "integer",
    help: "How long requests may finish after SIGTERM.",
    unit: "SECONDS",
    range: [0, 600],
    fallback: 10,
  },
] as const satisfies readonly Setting[];

export type SettingName = (typeof SETTINGS)[number]["name"];

type Fallback<Name extends SettingName> = Extract<
  (typeof SETTINGS)[number],
  { readonly name: Name; readonly fallback: unknown }
>["fallback"];

/** What holds without a setting, as the help says it. */
export function fallbackOf<Name extends SettingName>(name: Name): Fallback<Name> {
  const setting: Setting | undefined = settingNamed(name);
  return setting?.fallback as Fallback<Name>;
}

export const settingNamed = (name: string): Setting | undefined =>
  SETTINGS.find((setting) => setting.name === name);

/** The help of a setting, with how its parts are told apart. */
export function helpOfSetting({ hasSpaces, help, kind }: Setting): string {
  if (kind !== "list") return help;
  const rest = hasSpaces ? ", or a list in the file where one holds spaces" : "";
  return `${help} Separated by spaces and nothing else${rest}; the flag is repeatable.`;
}

export const isSecret = ({ kind }: Setting): boolean => kind === "secret" || kind === "secrets";

/** Whether its value may hold a secret: of pairs, such as an API's key in a header, nobody knows. */
export const isConfidential = (setting: Setting): boolean =>
  isSecret(setting) || setting.kind === "pairs";

/** `publicOrigin` as `public-origin`; a secret is given as the file that holds it. */
export const flagOf = (setting: Setting): string =>
  kebab(setting.name) + (isSecret(setting) ? "-file" : "");

/** `publicOrigin` as `PUBLIC_ORIGIN`. */
export const envOf = (setting: Setting): string =>
  kebab(setting.name).replaceAll("-", "_").toUpperCase();

const kebab = (name: string): string =>
  name.replace(/[A-Z]/gu, (letter) => `-${letter.toLowerCase()}`);
