// Every setting once. Flags, names in the environment, members of the file, the schema and the help
// texts all come from this table.

export type Kind =
  "text" | "url" | "secret" | "list" | "secrets" | "integer" | "switch" | readonly string[];

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
    kind: ["client_secret_basic", "client_secret_basic_raw", "client_secret_post"],
    help: "How the secret is shown to the provider.",
    fallback: "client_secret_basic",
    perServer: true,
  },
  {
    name: "audience",
    kind: "list",
    help: "The names of this API, one of which a token must carry.",
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
    perServer: true,
  },
  {
    name: "timeout",
    kind: "integer",
    help: "How long one request to the provider may take.",
    unit: "SECONDS",
    range: [1, 120],
    fallback: 5,
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

export const settingNamed = (name: string): Setting | undefined =>
  SETTINGS.find((setting) => setting.name === name);

export const isSecret = ({ kind }: Setting): boolean => kind === "secret" || kind === "secrets";

/** `publicOrigin` as `public-origin`; a secret is given as the file that holds it. */
export const flagOf = (setting: Setting): string =>
  kebab(setting.name) + (isSecret(setting) ? "-file" : "");

/** `publicOrigin` as `PUBLIC_ORIGIN`. */
export const envOf = (setting: Setting): string =>
  kebab(setting.name).replaceAll("-", "_").toUpperCase();

const kebab = (name: string): string =>
  name.replace(/[A-Z]/gu, (letter) => `-${letter.toLowerCase()}`);
