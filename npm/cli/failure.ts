/** Why a command ends without having done what it should. */
export const EXIT = {
  /** Something else went wrong. */
  failed: 1,
  configuration: 2,
  notLoggedIn: 3,
  timeout: 4,
  refused: 5,
  /** As a shell says of a program that SIGINT ended. */
  interrupted: 130,
} as const;

/** An end that the user can understand: its lines are shown without a stack. */
export class Failure extends Error {
  override readonly name = "Failure";

  constructor(
    readonly exitCode: number,
    readonly lines: readonly string[],
    /** What programs tell it by, where there is a name for it. */
    readonly code?: string,
  ) {
    super(lines.join("\n"));
  }
}

/** What a hint of the core says to pages and to programs, and what there is to do on the command line. */
const HINTS: Readonly<Record<string, string>> = {
  flow_unknown: "No login of this command waits for this callback; log in once more.",
  login_required: "There is no session to use; gatepass login begins one.",
  state_mismatch: "The callback is not that of this login; log in once more.",
  step_up_required:
    "The API wants a fresher or stronger login; gatepass login --params prompt=login is one.",
  storage_unavailable: "The place where tokens are kept cannot be read or written.",
  upstream_unreachable: "The provider cannot be reached; gatepass doctor says why.",
  url_insecure: "The URL must be https; http is for addresses of this machine only.",
};

/** What stands in hints for those who have an error's `details`: here they are shown beside it. */
const ASIDES: readonly (readonly [string, string])[] = [
  ["; details.error holds its error code.", "."],
  ["; see details.status and check ", "; check "],
];

export const hintOf = (code: string, hint: string): string =>
  HINTS[code] ?? ASIDES.reduce((text, [aside, instead]) => text.replace(aside, instead), hint);

/** What programs are told where a failure has no name of its own. */
const NAMES: Readonly<Record<number, string>> = {
  [EXIT.configuration]: "config_invalid",
  [EXIT.notLoggedIn]: "login_required",
  [EXIT.timeout]: "timeout",
  [EXIT.refused]: "refused",
  [EXIT.interrupted]: "interrupted",
};

/** The same for a program. */
export const describe = ({ code, exitCode, lines }: Failure): object => ({
  error: code ?? NAMES[exitCode] ?? "failed",
  problems: lines,
  exit_code: exitCode,
});

/**
 * What the system says of a file that is needed, for users: which one, and the system's own word for it.
 * Whatever else it is stays as it is.
 */
export function fileFailure(error: unknown, path: string, can: "read" | "written"): unknown {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (error instanceof Failure || code === undefined || syscall === undefined) return error;
  return new Failure(EXIT.failed, [`${path} cannot be ${can} (${code}).`], "storage_unavailable");
}

/** A mistake in flags, environment or file. */
export const misconfigured = (...lines: readonly string[]): Failure =>
  new Failure(EXIT.configuration, lines);
