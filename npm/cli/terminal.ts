// What is printed, and how.

/** Characters that a terminal would act upon, or that change the order in which text is read. */
const ACTIVE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text of others, made harmless to look at. */
export const plain = (text: string): string =>
  text.replace(ACTIVE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

export interface Terminal {
  /** What was asked for. */
  out(text: string): void;
  /** Everything else: progress, warnings, complaints. */
  err(text: string): void;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly bold: (text: string) => string;
  /** Whether somebody watches. */
  readonly isInteractive: boolean;
}

export function makeTerminal(
  env: Readonly<Record<string, string | undefined>>,
  streams: Pick<NodeJS.Process, "stdout" | "stderr">,
): Terminal {
  const { stdout, stderr } = streams;
  // https://no-color.org: set and not empty.
  const isPlain = Boolean(env["NO_COLOR"]) || env["TERM"] === "dumb" || !stderr.isTTY;
  const paint = (code: number) => (text: string) =>
    isPlain ? text : `\u001b[${code}m${text}\u001b[0m`;
  return {
    out: (text) => void stdout.write(`${text}\n`),
    err: (text) => void stderr.write(`${text}\n`),
    red: paint(31),
    green: paint(32),
    bold: paint(1),
    isInteractive: stderr.isTTY,
  };
}

/** Says that something goes on, where somebody watches; call the result when it is done. */
export function spinner({ isInteractive }: Terminal, text: string): () => void {
  if (!isInteractive) return () => {};
  let at = 0;
  const draw = (): void => {
    process.stderr.write(`\r${SIGNS[at++ % SIGNS.length] ?? ""} ${text} `);
  };
  draw();
  const timer = setInterval(draw, 200);
  return () => {
    clearInterval(timer);
    process.stderr.write("\r\u001b[K");
  };
}

const SIGNS = ["-", "\\", "|", "/"];
