// Progress lines: one per step, with a tick and the seconds it took. On a terminal the running step
// is shown and counts its seconds; in a log file there is one plain line per step, and one more at
// the start of a step known to be slow.

const onTerminal = process.stdout.isTTY === true && process.env.TERM !== "dumb";
const coloured = onTerminal && !process.env.NO_COLOR;

const NAME_WIDTH = 44;

/** @param {string} code @param {string} text */
function paint(code, text) {
  return coloured ? `\u001b[${code}m${text}\u001b[0m` : text;
}

export const green = (/** @type {string} */ text) => paint("32", text);
export const red = (/** @type {string} */ text) => paint("31", text);
export const dim = (/** @type {string} */ text) => paint("2", text);
export const bold = (/** @type {string} */ text) => paint("1", text);

/** @param {string} text */
export function withoutColour(text) {
  return text.replace(/\u001b(\[[0-9;?]*[A-Za-z]|\([A-Z0-9])/g, "");
}

/** @param {number} since a value of performance.now() */
export function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

/** @param {string} title */
export function heading(title) {
  process.stdout.write(`${bold(title)}\n`);
}

/**
 * What a running step can say about itself.
 *
 * @typedef {object} Step
 * @property {(detail: string) => void} detail what was found or done; stands behind the name in the closing line
 * @property {(doing: string) => void} slow called before something that takes more than a few seconds
 */

/**
 * Runs one step and prints its line. The step fails by throwing, or by answering false.
 *
 * @template T
 * @param {string} name
 * @param {(step: Step) => Promise<T> | T} action
 * @returns {Promise<T>}
 */
export async function step(name, action) {
  const started = performance.now();
  let detail = "";
  let doing = "";

  const showRunning = () => {
    const text = doing === "" ? name : `${name}: ${doing}`;
    process.stdout.write(`\r\u001b[2K  ${dim("·")} ${clip(text)} ${dim(seconds(started))}`);
  };
  const timer = onTerminal ? setInterval(showRunning, 500) : undefined;
  timer?.unref();
  if (onTerminal) showRunning();

  const close = (/** @type {boolean} */ passed) => {
    clearInterval(timer);
    const sign = passed ? green(onTerminal ? "✓" : "ok  ") : red(onTerminal ? "✗" : "FAIL");
    const text = detail === "" ? name : `${name} ${detail}`;
    const start = onTerminal ? "\r\u001b[2K" : "";
    process.stdout.write(
      `${start}  ${sign} ${text.padEnd(NAME_WIDTH)} ${dim(seconds(started).padStart(8))}\n`,
    );
  };

  try {
    const answer = await action({
      detail: (text) => {
        detail = text;
      },
      slow: (text) => {
        doing = text;
        if (onTerminal) showRunning();
        else process.stdout.write(`       ${name}: ${text} ...\n`);
      },
    });
    close(answer !== false);
    return answer;
  } catch (error) {
    close(false);
    throw error;
  }
}

/**
 * Keeps the running line on one row: a wrapped line could not be overwritten.
 *
 * @param {string} text
 */
function clip(text) {
  const room = Math.max(20, (process.stdout.columns || 80) - 16);
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
