// Help texts, from the tables.

import { commonOf } from "./command.js";
import type { Command, Flag } from "./command.js";
import { SETTINGS, envOf, flagOf, helpOfSetting, isSecret } from "./setting.js";
import type { Setting } from "./setting.js";

const EXIT_CODES = [
  "0  done",
  "1  something else failed",
  "2  the configuration is wrong or incomplete",
  "3  not logged in",
  "4  timeout",
  "5  refused: by the provider, or the token is not good",
  "130  interrupted (Ctrl-C)",
];

const WIDTH = 92;

export function overview(commands: readonly Command[]): string {
  return [
    "gatepass gets a pass and checks a pass: OAuth 2.1 and OpenID Connect.",
    "",
    "Usage: gatepass COMMAND [FLAGS]",
    "",
    "Commands:",
    ...rows(commands.map(({ name, summary }) => [name, summary])),
    "",
    "gatepass help COMMAND says more. Exit codes:",
    ...EXIT_CODES.map((line) => `  ${line}`),
    "",
    "Terminals are shown colours, unless NO_COLOR is set.",
  ].join("\n");
}

export function helpOf(command: Command): string {
  const { name, summary, operands = "", more = [], flags = [] } = command;
  const settings = SETTINGS.filter((setting) => command.settings.includes(setting.name));
  const section = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : ["", title, ...lines];
  const row = ({ name, value, help }: Flag): readonly [string, string] => [
    value === undefined ? `--${name}` : `--${name} ${value}`,
    help,
  ];
  // Flags behind -- would be the program's.
  const usage = operands.startsWith("--") ? ["[FLAGS]", operands] : [operands, "[FLAGS]"];
  return [
    `Usage: gatepass ${name} ${usage.filter(Boolean).join(" ")}`,
    "",
    summary,
    ...(more.length === 0 ? [] : ["", ...more]),
    ...section("Flags:", rows(flags.map(row))),
    ...section("Settings, as a flag, in the environment or in the file:", settings.flatMap(entry)),
    ...section("Flags of every command:", rows(commonOf(command).map(row))),
  ].join("\n");
}

function entry(setting: Setting): readonly string[] {
  const names = [envOf(setting), ...(setting.aliases ?? [])].map((name) => `GATEPASS_${name}`);
  const value = setting.kind === "switch" ? "" : ` ${valueOf(setting)}`;
  const fallback =
    setting.fallback === undefined || setting.fallback === ""
      ? ""
      : ` Default: ${String(setting.fallback)}.`;
  return [
    `  --${flagOf(setting)}${value}`,
    ...wrap(helpOfSetting(setting) + fallback, 6),
    `      ${names.join(", ")}${setting.sidecar === undefined ? "" : `, ${setting.sidecar}`}; ${setting.name}`,
  ];
}

function valueOf({ kind, unit, ...setting }: Setting): string {
  if (isSecret({ kind, ...setting })) return "FILE";
  if (typeof kind !== "string") return kind.join("|");
  return (
    unit ??
    { url: "URL", list: "LIST", integer: "NUMBER", pairs: "NAME=VALUE" }[kind as string] ??
    "TEXT"
  );
}

function rows(pairs: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...pairs.map(([name]) => name.length)) + 2;
  return pairs.map(([name, text]) => `  ${name.padEnd(width)}${text}`);
}

function wrap(text: string, indent: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > WIDTH) {
      lines.push(" ".repeat(indent) + word);
    } else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
