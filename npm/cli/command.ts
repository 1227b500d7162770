import type { Configuration } from "./configuration.js";
import type { Terminal } from "./terminal.js";
import type { SettingName } from "./setting.js";

/** A flag that is no setting. */
export interface Flag {
  readonly name: string;
  readonly help: string;
  /** What stands behind it; without it the flag stands alone. */
  readonly value?: string;
}

export interface Command {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** What stands behind the name. */
  readonly operands?: string;
  /** Further lines of its help. */
  readonly more?: readonly string[];
  readonly settings: readonly SettingName[];
  readonly flags?: readonly Flag[];
  /** Whether what it prints is another program's, so that there is nothing to print as JSON. */
  readonly isTransparent?: true;
  /** Answers the exit code. */
  run(call: Call): Promise<number>;
}

/** One call of a command. */
export interface Call {
  readonly operands: readonly string[];
  /** Its own flags, by name. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly version: string;
  /**
   * Reads flags, environment and file, anew each time; `url` chooses among several servers, and at the
   * end the programs that print secrets are stopped.
   */
  configure(url?: string, end?: AbortSignal): Promise<Configuration>;
}

/** The flags that a command has in common with others. */
export const commonOf = ({ isTransparent }: Pick<Command, "isTransparent">): readonly Flag[] =>
  isTransparent ? COMMON.filter(({ name }) => name !== "json") : COMMON;

const COMMON: readonly Flag[] = [
  { name: "config", value: "FILE", help: "The file with settings." },
  {
    name: "env-prefix",
    value: "PREFIX",
    help: "How names in the environment begin.",
  },
  {
    name: "server",
    value: "NAME",
    help: "Which of the file's servers is meant.",
  },
  { name: "json", help: "Prints JSON, for programs; also of a failure." },
  { name: "help", help: "Shows this." },
];
