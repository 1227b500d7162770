// Flags, environment and one file, in that order, become one value for each setting. Every mistake is
// found before anything is done, and all of them are told together.

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";

import { Document, isObject, type Json, type JsonObject } from "./document.js";
import { misconfigured } from "./failure.js";
import { home } from "./home.js";
import { METHOD, SERVER_URL, matches } from "./pattern.js";
import { PLACES, preset } from "./preset.js";
import { SETTINGS, envOf, flagOf, isConfidential, isSecret, settingNamed } from "./setting.js";
import type { Setting, SettingName } from "./setting.js";

export type Value = string | number | boolean | readonly string[];

/** A value, and where it was found. */
export interface Found {
  readonly value: Value;
  readonly where: string;
  /** How far away it was given: by a flag, in the environment, for the server, for all of them. */
  readonly distance?: number;
}

export interface Sources {
  /** By the names of flags. */
  readonly flags: Readonly<Record<string, Value | undefined>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The address of a request, which chooses among several servers. */
  readonly url?: string;
  /** When nobody waits any more for what programs print. */
  readonly end?: AbortSignal;
}

/** No secret, and no file of settings, is longer. */
const LONGEST_FILE = 1024 * 1024;
const COMMAND_LIMIT_MS = 10_000;
const MEMBERS = ["$schema", "servers", "routes", "guard"];

export class Configuration {
  /** What went wrong, one line for each mistake. */
  readonly problems: string[] = [];
  readonly prefix: string;
  readonly file: Document | undefined;
  /** The name of the chosen server, where the file has any. */
  readonly server: string | undefined;
  /** Whether the provider is named as the sidecar's own variable, AUTH_SERVER_URL. */
  readonly isSidecar: boolean;
  readonly #found = new Map<string, Found>();
  readonly #env: Sources["env"];
  /** What is to be run for secrets. */
  readonly #commands: ((end: AbortSignal | undefined) => Promise<void>)[] = [];

  /**
   * Reads the sources, and runs the programs that print secrets while everything else goes on.
   *
   * @throws Failure where the file cannot be read at all; all other mistakes are `problems`.
   */
  static async read(sources: Sources): Promise<Configuration> {
    const configuration = new Configuration(sources);
    // One after the other: they may ask on the terminal.
    for (const run of configuration.#commands.splice(0)) await run(sources.end);
    return configuration;
  }

  private constructor({ flags, env, url }: Sources) {
    this.#env = env;
    this.prefix = String(flags["env-prefix"] ?? (env["GATEPASS_ENV_PREFIX"] || "GATEPASS_"));
    this.file = this.#open(flags["config"]);
    this.server = this.#chooseServer(flags["server"], url);
    this.isSidecar = Boolean(env["AUTH_SERVER_URL"] || env["AUTH_SERVER_URL_FILE"]);
    this.#checkNames();
    for (const setting of SETTINGS) {
      const own = ["servers", this.server ?? "", setting.name];
      const isOwn = this.server !== undefined && this.#at(own) !== undefined;
      // The nearest first.
      const sources = [
        () => this.#fromFlag(setting, flags),
        () => this.#fromEnv(setting),
        () => (isOwn ? this.#fromFile(setting, own) : undefined),
        () => (isOwn ? undefined : this.#fromFile(setting, [setting.name])),
      ];
      for (const [distance, look] of sources.entries()) {
        const found = look();
        if (!found) continue;
        this.#found.set(setting.name, { ...found, distance });
        break;
      }
    }
    this.#applyPreset();
    // A service that was named nearer is behind another provider, or its own.
    const service = this.#far("endpoint");
    if (service < this.#far("issuer")) this.#dropPlaces(service);
  }

  /** @throws Failure with every mistake that was found. */
  check(): this {
    if (this.problems.length > 0) throw misconfigured(...this.problems);
    return this;
  }

  text(name: SettingName): string | undefined {
    const value = this.#found.get(name)?.value;
    return value === undefined ? undefined : String(value);
  }

  integer(name: SettingName): number | undefined {
    const value = this.#found.get(name)?.value;
    return typeof value === "number" ? value : undefined;
  }

  isOn(name: SettingName): boolean {
    return this.#found.get(name)?.value === true;
  }

  list(name: SettingName): readonly string[] {
    const value = this.#found.get(name)?.value;
    return Array.isArray(value) ? (value as readonly string[]) : [];
  }

  found(name: SettingName): Found | undefined {
    return this.#found.get(name);
  }

  /** Pairs of names and values. */
  pairs(name: SettingName): Readonly<Record<string, string>> {
    const split = (pair: string): [string, string] => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    };
    return Object.fromEntries(this.list(name).map(split));
  }

  /** A setting that the command cannot do without. */
  need(name: SettingName): string {
    const value = this.text(name);
    if (value === undefined) {
      this.problems.push(`${this.namesOf(name)} is not set.`);
      return "";
    }
    return value;
  }

  /**
   * The variables of the environment that hold secrets: those of settings, whichever of them counts,
   * and those that the file names, also for servers that were not chosen.
   */
  secretVariables(): ReadonlySet<string> {
    const names = new Set<string>();
    for (const setting of SETTINGS as readonly Setting[]) {
      if (!isConfidential(setting)) continue;
      for (const name of [envOf(setting), ...(setting.aliases ?? [])])
        names.add(this.prefix + name);
      if (setting.sidecar !== undefined) names.add(setting.sidecar);
    }
    const root = this.file?.root ?? {};
    const servers = isObject(root["servers"]) ? Object.values(root["servers"]) : [];
    for (const section of [root, ...servers]) {
      for (const [name, value] of Object.entries(isObject(section) ? section : {})) {
        const setting = settingNamed(name);
        if (setting && isConfidential(setting)) collectVariables(value, names);
      }
    }
    collectSecrets(root["guard"], names);
    return names;
  }

  /** How one can give a setting. */
  namesOf(name: SettingName): string {
    const setting = settingNamed(name) as Setting;
    return `${name} (--${flagOf(setting)}, ${this.prefix}${envOf(setting)})`;
  }

  /** A member of the file as it stands there, with `${NAME}` expanded. */
  member(name: "routes" | "guard"): Json | undefined {
    const value = this.file?.root[name];
    if (value === undefined) return undefined;
    const expanded = this.#expandAll(value, [name]);
    if (name === "routes") this.#checkMethods(expanded);
    return expanded;
  }

  /** A route for a method that nobody sends would be one that never fits. */
  #checkMethods(routes: Json): void {
    for (const [at, route] of listOf(routes).entries()) {
      for (const [place, method] of listOf(isObject(route) ? route["methods"] : []).entries()) {
        if (typeof method === "string" && !METHOD.test(method)) {
          const path = ["routes", at, "methods", place];
          this.#complain(path, "a method must be written as it is sent, such as GET.");
        }
      }
    }
  }

  /** Where something in the file stands. */
  where(path: readonly (string | number)[]): string {
    return this.file?.where(path) ?? "the configuration";
  }

  #open(flag: Value | undefined): Document | undefined {
    const given = flag ?? this.#env[`${this.prefix}CONFIG`];
    // Never from the working directory: a file may name commands that are run.
    const base = this.#env["XDG_CONFIG_HOME"];
    const own = home();
    const folder = base && isAbsolute(base) ? base : own && join(own, ".config");
    const usual = folder && join(folder, "gatepass", "config.json");
    const path = given ? String(given) : usual;
    if (path === undefined || (!given && !existsSync(path))) return undefined;
    return new Document(path, readText(path, "the configuration"));
  }

  #chooseServer(flag: Value | undefined, url: string | undefined): string | undefined {
    const servers = this.file?.root["servers"];
    const wanted = flag ?? (this.#env[`${this.prefix}SERVER`] || undefined);
    if (!isObject(servers)) {
      if (servers !== undefined) this.#complain(["servers"], "servers must be an object.");
      if (wanted !== undefined)
        this.problems.push(`There is no server "${wanted}": the file names none.`);
      return undefined;
    }
    const names = Object.keys(servers);
    if (names.length === 0) {
      this.#complain(["servers"], "servers names none; give each a name, or leave it out.");
      return undefined;
    }
    if (wanted !== undefined && !names.includes(String(wanted))) {
      this.problems.push(
        `There is no server "${String(wanted)}" in ${this.where(["servers"])}; there are: ${names.join(", ")}.`,
      );
      return undefined;
    }
    if (wanted !== undefined) return String(wanted);
    const fits = url === undefined ? names : names.filter((name) => servesUrl(servers[name], url));
    if (fits.length === 1) return fits[0];
    this.problems.push(
      `Which server? ${url === undefined ? "Give" : `${fits.length} of them fit ${originOf(url)}: give`} --server with one of: ${names.join(", ")}.`,
    );
    return undefined;
  }

  #checkNames(): void {
    if (!this.file) return;
    const { root } = this.file;
    for (const name of Object.keys(root)) {
      if (!MEMBERS.includes(name) && !settingNamed(name))
        this.#complain([name], `there is no setting "${name}".`);
    }
    const servers = root["servers"];
    if (!isObject(servers)) return;
    for (const [server, section] of Object.entries(servers)) {
      if (!isObject(section)) {
        this.#complain(["servers", server], "a server must be an object.");
        continue;
      }
      for (const name of Object.keys(section)) {
        if (name !== "urls" && !settingNamed(name)?.perServer)
          this.#complain(["servers", server, name], `a server has no setting "${name}".`);
      }
      if (section["urls"] !== undefined) this.#checkUrls(section["urls"], server);
    }
  }

  #checkUrls(urls: Json, server: string): void {
    const path = ["servers", server, "urls"];
    if (listOf(urls).length === 0) this.#complain(path, "urls must be a list of addresses.");
    for (const [at, url] of listOf(urls).entries()) {
      if (typeof url === "string" && SERVER_URL.test(url) && URL.canParse(url)) continue;
      const form = "https://HOST or https://HOST/PATH, with * in the path only";
      this.#complain([...path, at], `an address of urls must be ${form}.`);
    }
  }

  #fromFlag(setting: Setting, flags: Sources["flags"]): Found | undefined {
    const flag = flagOf(setting);
    const given = flags[flag];
    if (given === undefined) return undefined;
    const where = `--${flag}`;
    if (isSecret(setting)) return this.#secretFile(setting, String(given), where);
    return this.#parse(setting, given, where);
  }

  #fromEnv(setting: Setting): Found | undefined {
    const names = [envOf(setting), ...(setting.aliases ?? [])].map((name) => this.prefix + name);
    if (this.isSidecar && setting.sidecar !== undefined) names.push(setting.sidecar);
    for (const name of names) {
      const [given, file] = [this.#env[name], this.#env[`${name}_FILE`]];
      if (given && file) this.problems.push(`${name} and ${name}_FILE are both set.`);
      // A variable that is set to nothing is not set: compose files and shells make such.
      if (given) return this.#parse(setting, given, name);
      if (file) {
        const text = readSecret(file, `${name}_FILE`, this.problems);
        return text === undefined ? undefined : this.#parse(setting, text, `${name}_FILE`);
      }
    }
    return undefined;
  }

  #fromFile(setting: Setting, path: readonly string[]): Found | undefined {
    const given = this.#at(path);
    if (given === undefined) return undefined;
    if (isSecret(setting)) return this.#secretMember(setting, given, path);
    const where = this.where(path);
    if (Array.isArray(given) && given.every((item) => typeof item === "string")) {
      const items = given.map((item) => this.#expand(item, path));
      return this.#parse(setting, items, where, setting.hasSpaces);
    }
    if (setting.kind === "pairs" && isObject(given)) {
      const pairs = Object.entries(given).map(
        ([name, value]) => `${name}=${this.#expand(String(value), [...path, name])}`,
      );
      return this.#parse(setting, pairs, where);
    }
    if (typeof given === "string") return this.#parse(setting, this.#expand(given, path), where);
    if (typeof given === "number" || typeof given === "boolean")
      return this.#parse(setting, given, where);
    this.problems.push(`${where}: ${setting.name} must be ${expected(setting)}.`);
    return undefined;
  }

  #at(path: readonly string[]): Json | undefined {
    let value: Json | undefined = this.file?.root;
    for (const name of path) value = isObject(value) ? value[name] : undefined;
    return value;
  }

  /** A secret stands elsewhere: in a variable, in a file, or it is what a command prints. */
  #secretMember(setting: Setting, given: Json, path: readonly string[]): Found | undefined {
    const where = this.where(path);
    if (typeof given === "string" && /^\$\{\w+\}$/u.test(given)) {
      const text = this.#expand(given, path);
      return text === "" ? undefined : this.#parse(setting, text, where);
    }
    const [kind, ...more] = isObject(given) ? Object.keys(given) : [];
    const value = isObject(given) && kind !== undefined ? given[kind] : undefined;
    if (more.length === 0 && typeof value === "string") {
      if (kind === "env") {
        const text = this.#env[value];
        if (text) return this.#parse(setting, text, where);
        this.problems.push(`${where}: the environment has no ${value}.`);
        return undefined;
      }
      if (kind === "file") {
        const folder = dirname(this.file?.name ?? ".");
        return this.#secretFile(setting, resolve(folder, value), where);
      }
    }
    if (more.length === 0 && kind === "command" && Array.isArray(value)) {
      this.#commands.push(async (end) => {
        const text = await outputOf(value as readonly Json[], end);
        if (text === "") this.problems.push(`${where}: the command did not print a secret.`);
        const found = text === "" ? undefined : this.#parse(setting, text, where);
        if (found) this.#found.set(setting.name, found);
      });
      return undefined;
    }
    this.problems.push(
      `${where}: ${setting.name} must not stand in the file itself; write "\${NAME}", {"env": NAME}, {"file": PATH} or {"command": [PROGRAM, ...]}.`,
    );
    return undefined;
  }

  #secretFile(setting: Setting, path: string, where: string): Found | undefined {
    const text = readSecret(path, where, this.problems);
    return text === undefined ? undefined : this.#parse(setting, text, where);
  }

  #parse(setting: Setting, given: Value, where: string, isSplit = false): Found | undefined {
    const value = parse(setting, given, isSplit);
    const { form, name } = setting;
    if (value === undefined) this.problems.push(`${where}: ${name} must be ${expected(setting)}.`);
    else if (form?.pattern.test(String(value)) === false) {
      this.problems.push(`${where}: ${form.problem}.`);
    } else return { value, where };
    return undefined;
  }

  #expand(text: string, path: readonly (string | number)[]): string {
    return text.replace(/\$\$\{|\$\{(\w*)\}/gu, (whole, name: string | undefined) => {
      if (name === undefined) return "${";
      const value = this.#env[name];
      if (value === undefined) {
        this.#complain(path, `the environment has no ${name === "" ? whole : name}.`);
      }
      return value ?? "";
    });
  }

  #expandAll(value: Json, path: readonly (string | number)[]): Json {
    if (typeof value === "string") return this.#expand(value, path);
    if (Array.isArray(value)) {
      return (value as readonly Json[]).map((item, at) => this.#expandAll(item, [...path, at]));
    }
    if (!isObject(value)) return value;
    const copy = Object.create(null) as Record<string, Json>;
    for (const [name, item] of Object.entries(value))
      copy[name] = this.#expandAll(item, [...path, name]);
    return copy;
  }

  #complain(path: readonly (string | number)[], problem: string): void {
    this.problems.push(`${this.where(path)}: ${problem}`);
  }

  /** How far off a setting was given, the nearest first. */
  #far(name: string): number {
    return this.#found.get(name)?.distance ?? Infinity;
  }

  /** A code or a secret that is sent to one of another provider's places is its. */
  #dropPlaces(distance: number): void {
    for (const name of PLACES) if (this.#far(name) > distance) this.#found.delete(name);
  }

  /** Where a known provider is, in place of all that was given farther off. */
  #applyPreset(): void {
    const provider = this.text("provider");
    if (provider === undefined) return;
    const known = preset(provider, this.text("domain"), this.text("tenant"));
    if (typeof known === "string") {
      this.problems.push(`provider ${provider} needs ${this.namesOf(known as SettingName)}.`);
      return;
    }
    // What it is made of, and no other provider's.
    const part = { auth0: "domain", okta: "domain", entra: "tenant" }[provider];
    const whole = part === undefined ? Infinity : this.#far(part);
    const distance = Math.min(this.#far("provider"), whole);
    // An issuer that was given nearer is another provider, with its own places.
    if (this.#far("issuer") <= distance) return;
    this.#dropPlaces(distance);
    for (const [name, value] of Object.entries(known)) {
      this.#found.set(name, { value, where: `provider ${provider}`, distance });
    }
  }
}

function servesUrl(section: Json | undefined, url: string): boolean {
  const urls = isObject(section) ? section["urls"] : undefined;
  const patterns = Array.isArray(urls) ? (urls as readonly Json[]) : [];
  return patterns.some((pattern) => typeof pattern === "string" && matches(pattern, url));
}

/** The variables that a value of the file takes something from. */
function collectVariables(value: Json | undefined, names: Set<string>): void {
  if (typeof value === "string") {
    for (const [, name] of value.matchAll(/\$\$\{|\$\{(\w+)\}/gu)) if (name) names.add(name);
  } else if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) collectVariables(item, names);
  } else if (isObject(value)) {
    if (typeof value["env"] === "string") names.add(value["env"]);
    for (const item of Object.values(value)) collectVariables(item, names);
  }
}

/** The options of a guard that are secret, or may be. */
const SECRET_OPTION = /secret|^(?:bearerToken|dpopNonce|key)$/iu;

/** The same for the options of the guard. */
function collectSecrets(value: Json | undefined, names: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) collectSecrets(item, names);
  } else if (isObject(value)) {
    for (const [name, item] of Object.entries(value)) {
      if (SECRET_OPTION.test(name)) collectVariables(item, names);
      else collectSecrets(item, names);
    }
  }
}

const originOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : "that URL");

const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);

/**
 * A value as its setting wants it; a text from flags and the environment, or as JSON has it.
 *
 * @param isSplit whether each text of a list is one of its parts, with the spaces in it
 */
function parse({ kind, range }: Setting, given: Value, isSplit: boolean): Value | undefined {
  if (kind === "integer") {
    const number = typeof given === "string" && /^\d{1,9}$/u.test(given) ? Number(given) : given;
    const [from, to] = range ?? [0, Number.MAX_SAFE_INTEGER];
    const fits = typeof number === "number" && Number.isInteger(number);
    return fits && number >= from && number <= to ? number : undefined;
  }
  if (kind === "switch") {
    if (typeof given === "boolean") return given;
    const known: Record<string, boolean> = {
      true: true,
      1: true,
      false: false,
      0: false,
    };
    return typeof given === "string" && Object.hasOwn(known, given) ? known[given] : undefined;
  }
  if (kind === "pairs") {
    const items = (typeof given === "string" ? given.split(/\r?\n/u) : given) as readonly string[];
    const isGood = Array.isArray(items) && items.every((item) => /^[\w.-]+=[^\r\n]*$/u.test(item));
    return isGood ? items : undefined;
  }
  if (kind === "list" || kind === "secrets") {
    const texts = typeof given === "string" ? [given] : given;
    if (!Array.isArray(texts)) return undefined;
    // Not at commas, which scopes and addresses may hold.
    const separator = kind === "list" ? /\s+/u : /\n/u;
    const parts = (texts as readonly string[]).flatMap((text) =>
      isSplit ? [text] : text.split(separator),
    );
    const items = parts.map((item) => item.trim()).filter(Boolean);
    return items.length > 0 ? items : undefined;
  }
  if (typeof given !== "string" || given === "") return undefined;
  if (kind === "url") return URL.canParse(given) && /^https?:/u.test(given) ? given : undefined;
  if (typeof kind !== "string") return kind.includes(given) ? given : undefined;
  return given;
}

function expected({ kind, range }: Setting): string {
  if (typeof kind !== "string") return `one of ${kind.join(", ")}`;
  switch (kind) {
    case "integer":
      return `a whole number from ${range?.[0] ?? 0} to ${range?.[1] ?? "any"}`;
    case "switch":
      return "true or false";
    case "list":
    case "secrets":
      return "a text, or a list of texts";
    case "pairs":
      return "NAME=VALUE, one a line, or an object of texts";
    case "url":
      return "an address that begins with https:// or http://";
    default:
      return "a text";
  }
}

function readText(path: string, what: string): string {
  try {
    if (statSync(path).size > LONGEST_FILE) throw new Error("too large");
    // Some editors begin a file with a mark that they do not show, nor count as a column.
    return readFileSync(path, "utf8").replace(/^\ufeff/u, "");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "too large";
    throw misconfigured(`${path}: ${what} cannot be read (${code}).`);
  }
}

/** Without the line break that editors and `echo` put at the end. */
function readSecret(path: string, where: string, problems: string[]): string | undefined {
  try {
    const text = readText(path, "the secret").replace(/\r?\n$/u, "");
    if (text !== "") return text;
    problems.push(`${where}: ${path} is empty.`);
  } catch (error) {
    problems.push(`${where}: ${(error as Error).message}`);
  }
  return undefined;
}

/**
 * What a program prints; nothing where it fails, takes too long or prints too much. No shell stands
 * between, and its own complaints go to the terminal.
 */
function outputOf(
  [program, ...args]: readonly Json[],
  isOver: AbortSignal | undefined,
): Promise<string> {
  const isText = args.every((part) => typeof part === "string");
  if (!isText || typeof program !== "string" || program === "" || isOver?.aborted)
    return Promise.resolve("");
  return new Promise((resolve) => {
    let child: ChildProcess;
    try {
      child = spawn(program, args as string[], { stdio: ["ignore", "pipe", "inherit"] });
    } catch {
      return resolve("");
    }
    // Where files run out it has no output, and this follows on the next tick.
    child.on("error", () => end(""));
    let output = "";
    const end = (text: string): void => {
      clearTimeout(timer);
      isOver?.removeEventListener("abort", stop);
      resolve(text);
    };
    const stop = (): void => {
      child.kill();
      // It may not listen, and what it started may hold its output.
      child.unref();
      child.stdout?.destroy();
      // What it printed until then may be a part of the secret.
      end("");
    };
    const timer = setTimeout(stop, COMMAND_LIMIT_MS);
    isOver?.addEventListener("abort", stop);
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > LONGEST_FILE) stop();
    });
    child.once("close", (code) => end(code === 0 ? output.replace(/\r?\n$/u, "") : ""));
  });
}

/** The file's members that are no settings. */
export type { JsonObject };
