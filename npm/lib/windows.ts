// The waiting page's half of a sign-in in a popup or a hidden frame. It takes a URL from the callback
// page and trusts nothing of it: the core checks it as any callback.

import { unlessAborted } from "./abort.js";
import { GatepassError } from "./errors.js";
import type { ErrorCode } from "./errors.js";
import { channelOf, stateOf } from "./relay.js";

/** What ends the waiting, from the beginning of a sign-in until its callback is there. */
export interface Waiting {
  /** Aborted by the program's signal, and when the time is over. */
  readonly signal: AbortSignal;
  /** An error of the core. */
  readonly error: (code: ErrorCode) => unknown;
  /** Nobody waits any more. */
  readonly clear: () => void;
}

/** How often a popup is looked at, in milliseconds. */
const LOOK = 250;
/** For how many looks a popup must be gone, and this page be the one that is used. */
const GONE = 4;
/** The same where it was lost from sight while somebody was using it. */
const LOST = 40;

/** Of any realm. */
export function isSignal(value: unknown): boolean {
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  return typeof aborted === "boolean" && typeof addEventListener === "function";
}

/**
 * Begins to wait. How long that may be is checked here, because the core hears nothing of it where a
 * popup is blocked.
 */
export function wait(
  seconds: number,
  given: AbortSignal | undefined,
  error: Waiting["error"],
): Waiting {
  if (!(typeof seconds === "number" && seconds >= 1 && seconds <= 600)) {
    throw new GatepassError({
      code: "config_invalid",
      phase: "sign_in",
      retryable: false,
      at: "timeout",
      hint: "Give a number of seconds from 1 to 600.",
    });
  }
  const end = new AbortController();
  const abort = (): void => end.abort(given?.reason);
  const timer = setTimeout(() => end.abort(error("window_timeout")), seconds * 1000);
  given?.addEventListener("abort", abort);
  if (given?.aborted) abort();
  const clear = (): void => {
    clearTimeout(timer);
    given?.removeEventListener("abort", abort);
  };
  return { signal: end.signal, error, clear };
}

/** Opens an empty popup; `null` where the browser blocks it. Only the handler of a click may. */
export function openPopup(): Window | null {
  const [width, height] = [480, 640];
  const left = Math.max(0, screenX + (outerWidth - width) / 2);
  const top = Math.max(0, screenY + (outerHeight - height) / 2);
  return open("about:blank", "", `popup,width=${width},height=${height},left=${left},top=${top}`);
}

/**
 * Waits for the callback of a popup.
 *
 * A popup whose provider, or whose opener, sends Cross-Origin-Opener-Policy looks closed from here
 * while somebody is using it. So it counts as closed only when it looks closed and this page is the
 * one that is used: at once where it was used when the popup went, else after ten seconds.
 */
export function awaitPopup(popup: Window, state: string, waiting: Waiting): Promise<string> {
  return hear(state, waiting, popup, (settle) => {
    const channel = new BroadcastChannel(channelOf(state));
    channel.onmessage = ({ data, origin }) => {
      if (origin !== location.origin || !isCallbackOf(state, data)) return;
      channel.postMessage("taken");
      settle.take(data);
    };
    let looks = 0;
    let needed = 0;
    const timer = setInterval(() => {
      if (!popup.closed) return void (looks = needed = 0);
      const isUsed = document.hasFocus();
      // Focus comes back a little after the window went.
      if (needed !== GONE && looks <= 2) needed = isUsed ? GONE : LOST;
      looks = isUsed || looks <= 2 ? looks + 1 : 3;
      if (isUsed && looks > needed) settle.fail("popup_closed");
    }, LOOK);
    return () => {
      clearInterval(timer);
      channel.close();
    };
  });
}

/** Goes through the provider in a frame that nobody sees and that may do no more than needed. */
export function awaitFrame(url: string, state: string, waiting: Waiting): Promise<string> {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  frame.setAttribute("allow", "");
  frame.src = url;
  document.body.append(frame);
  return hear(state, waiting, frame.contentWindow, () => () => {}).finally(() => frame.remove());
}

interface Settle {
  /** Ends the waiting, where this is the callback that is waited for. */
  take(callback: unknown): void;
  fail(code: ErrorCode): void;
}

/** Waits for a callback of this state, by a message of this window or in another way. */
async function hear(
  state: string,
  { signal, error }: Waiting,
  source: Window | null,
  begin: (settle: Settle) => () => void,
): Promise<string> {
  let stop = (): void => {};
  const callback = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const settle: Settle = {
        take: (given) => isCallbackOf(state, given) && resolve(given),
        fail: (code) => reject(error(code)),
      };
      const hearMessage = ({ data, origin, source: sender }: MessageEvent): void => {
        if (origin === location.origin && sender !== null && sender === source) {
          settle.take((data as { gatepass?: unknown } | null)?.gatepass);
        }
      };
      let end = (): void => {};
      addEventListener("message", hearMessage);
      stop = () => {
        removeEventListener("message", hearMessage);
        end();
      };
      try {
        end = begin(settle);
      } catch (cause) {
        // A browser that refuses channels, as where the user blocks site data.
        reject(refused(cause));
      }
    });
  try {
    return await unlessAborted(signal, callback);
  } finally {
    stop();
  }
}

function refused(cause: unknown): GatepassError {
  return new GatepassError({
    code: "unsupported_host",
    phase: "sign_in",
    retryable: false,
    at: "BroadcastChannel",
    hint: "The browser gives this page no BroadcastChannel, as where the user blocks site data; sign in by a redirect.",
    cause,
  });
}

function isCallbackOf(state: string, callback: unknown): callback is string {
  try {
    return typeof callback === "string" && stateOf(new URL(callback)) === state;
  } catch {
    return false;
  }
}
