#!/usr/bin/env node
// gatepass, the command.

import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { commonOf } from "./command.js";
import type { Command } from "./command.js";
import { Configuration } from "./configuration.js";
import type { Value } from "./configuration.js";
import { EXIT, Failure, describe, misconfigured } from "./failure.js";
import { helpOf, overview } from "./help.js";
import { SETTINGS, flagOf } from "./setting.js";
import { makeTerminal, plain } from "./terminal.js";

/** In the order of the help. Only the one that runs is loaded: a service need not hold the rest. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  login: async () => (await import("./login.js")).login,
  logout: async () => (await import("./login.js")).logout,
  status: async () => (await import("./login.js")).status,
  token: async () => (await import("./manual.js")).token,
  exec: async () => (await import("./manual.js")).exec,
  request: async () => (await import("./manual.js")).request,
  introspect: async () => (await import("./introspect.js")).introspect,
  decode: async () => (await import("./decode.js")).decode,
  doctor: async () => (await import("./doctor.js")).doctor,
  serve: async () => (await import("./serve.js")).serve,
  selftest: async () => (await import("./selftest.js")).selftest,
};

const commandNamed = async (name: string | undefined): Promise<Command | undefined> =>
  name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name]?.() : undefined;

/** Runs the command that the arguments name, and answers the exit code. */
async function main(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const terminal = makeTerminal(env, process);
  const [name = "help", ...rest] = args;
  if (name === "--version") {
    terminal.out(version());
    return 0;
  }
  if (name === "help" || name === "--help" || name === "-h") {
    const asked = await commandNamed(rest[0]);
    const all = (): Promise<Command[]> =>
      Promise.all(Object.values(COMMANDS).map((load) => load()));
    if (rest[0] !== undefined && !asked) {
      const problem = `There is no command "${plain(rest[0])}". gatepass help lists them.`;
      terminal.err(`${terminal.err.red("Error:")} ${problem}`);
      return EXIT.configuration;
    }
    terminal.out(asked ? helpOf(asked) : overview(await all()));
    return 0;
  }
  // Behind -- stands what is another program's.
  const own = rest.slice(0, rest.includes("--") ? rest.indexOf("--") : rest.length);
  try {
    const command = await commandNamed(name);
    if (name.startsWith("-"))
      throw misconfigured("Flags stand behind the command: gatepass COMMAND [FLAGS].");
    if (!command) {
      throw misconfigured(`There is no command "${plain(name)}". gatepass help lists them.`);
    }
    if (own.includes("--help") || own.includes("-h")) {
      terminal.out(helpOf(command));
      return 0;
    }
    const { flags, operands } = read(command, rest);
    return await command.run({
      operands,
      flags: flags as Record<string, string | boolean | undefined>,
      env,
      terminal,
      version: version(),
      configure: (url, end) =>
        Configuration.read({
          flags: settingsOf(command, flags),
          env,
          ...(url !== undefined && { url }),
          ...(end && { end }),
        }),
    });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (own.includes("--json")) {
      // Programs read one stream, whatever comes of it.
      terminal.out(plain(JSON.stringify(describe(error))));
      return error.exitCode;
    }
    for (const line of error.lines) terminal.err(`${terminal.err.red("Error:")} ${plain(line)}`);
    return error.exitCode;
  }
}

/** The flags that are settings: a command's own may have the name of another command's setting. */
function settingsOf(
  command: Command,
  flags: Readonly<Record<string, Value | undefined>>,
): Readonly<Record<string, Value | undefined>> {
  const own = new Set((command.flags ?? []).map(({ name }) => name));
  return Object.fromEntries(Object.entries(flags).filter(([name]) => !own.has(name)));
}

/** Flags and operands of a command. Everything behind `--` is an operand. */
function read(
  command: Command,
  args: readonly string[],
): { flags: Record<string, Value | undefined>; operands: readonly string[] } {
  const options: Record<string, { type: "string" | "boolean"; multiple?: boolean }> = {};
  for (const { name, value } of [...commonOf(command), ...(command.flags ?? [])]) {
    options[name.replace(/^no-/u, "")] = { type: value === undefined ? "boolean" : "string" };
  }
  for (const setting of SETTINGS) {
    if (!command.settings.includes(setting.name)) continue;
    const isSwitch = setting.kind === "switch";
    const isList = setting.kind === "list" || setting.kind === "pairs";
    options[flagOf(setting)] = isSwitch
      ? { type: "boolean" }
      : { type: "string", ...(isList && { multiple: true }) };
  }
  const isSwitch = (name: string): boolean => options[name]?.type === "boolean";
  // Not by allowNegative, which Node has from 20.16 on.
  for (const name of Object.keys(options).filter(isSwitch)) {
    options[`no-${name}`] = { type: "boolean" };
  }
  try {
    const { values, positionals, tokens } = parseArgs({
      args: [...args],
      options,
      allowPositionals: command.operands !== undefined,
      tokens: true,
    });
    const flags = { ...values } as Record<string, Value | undefined>;
    // Of --browser and --no-browser the last one counts.
    for (const token of tokens) {
      if (token.kind !== "option" || !isSwitch(token.name)) continue;
      flags[token.name.replace(/^no-/u, "")] = !token.name.startsWith("no-");
    }
    for (const { name } of command.flags ?? []) {
      if (name.startsWith("no-")) flags[name] = flags[name.slice(3)] === false;
    }
    return { flags, operands: positionals };
  } catch (error) {
    const [problem = ""] = (error as Error).message.split(/\. (?:To specify|This command)/u);
    throw misconfigured(`${problem.replace(/\.$/u, "")}. gatepass help ${command.name} says more.`);
  }
}

/** The package's own. */
function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  // A reader that has enough, such as head, is no mistake; a service goes on without its log.
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (process.argv[2] === "serve") return;
    if (code === "EPIPE") process.exit(0);
    makeTerminal(process.env, process).err(`Error: Standard output cannot be written (${code}).`);
    process.exit(EXIT.failed);
  });
  // There is nobody left to tell.
  process.stderr.on("error", () => {});
  process.exitCode = await main(process.argv.slice(2), process.env);
}
