// What is printed, and how.

/** Characters that a terminal would act upon, or that change the order in which text is read. */
const ACTIVE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text of others, made harmless to look at. */
export const plain = (text: string): string =>
  text.replace(ACTIVE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Prints a line. Its colours are for what it prints itself: another stream may be a file. */
export interface Output {
  (text: string): void;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly bold: (text: string) => string;
}

export interface Terminal {
  /** What was asked for. */
  readonly out: Output;
  /** Everything else: progress, warnings, complaints. */
  readonly err: Output;
  /** Whether somebody watches. */
  readonly isInteractive: boolean;
}

export function makeTerminal(
  env: Readonly<Record<string, string | undefined>>,
  streams: Pick<NodeJS.Process, "stdout" | "stderr">,
): Terminal {
  const { stdout, stderr } = streams;
  // https://no-color.org: set and not empty.
  const hasNoColor = Boolean(env["NO_COLOR"]) || env["TERM"] === "dumb";
  const output = (stream: NodeJS.WriteStream): Output => {
    const isPlain = hasNoColor || !stream.isTTY;
    const paint = (code: number) => (text: string) =>
      isPlain ? text : `\u001b[${code}m${text}\u001b[0m`;
    const print = (text: string): void => void stream.write(`${text}\n`);
    return Object.assign(print, { red: paint(31), green: paint(32), bold: paint(1) });
  };
  return { out: output(stdout), err: output(stderr), isInteractive: stderr.isTTY };
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
