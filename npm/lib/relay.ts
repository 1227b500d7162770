// The callback page's half of a sign-in in a popup or a hidden frame: it hands its URL to the page
// that waits for it, and nothing else. Whose callback it is stands at the end of its state, because
// nothing else survives a provider that cuts all ties between windows (Cross-Origin-Opener-Policy).

/** How long the page that began a popup may take to answer, in milliseconds. */
const PATIENCE = 3000;

/** The name of the channel on which the callback with this state is handed over. */
export const channelOf = (state: string): string => `gatepass:callback:${state}`;

/** The state of a callback, in its query or its fragment. */
export function stateOf(callback: URL): string {
  const inFragment = new URLSearchParams(callback.hash.slice(1));
  return callback.searchParams.get("state") ?? inFragment.get("state") ?? "";
}

/** A callback that is under way to its page, so that asking twice hands it over once. */
let relaying: { readonly url: string; readonly taken: Promise<boolean> } | undefined;

/**
 * Hands this page's URL to the page that waits for it, where it is the callback of a popup or a
 * hidden frame. Call it first on the page at `redirectUri`:
 *
 * ```js
 * if (!(await relayCallback())) await client.handleCallback();
 * ```
 *
 * It loads no WebAssembly. `client.handleCallback()` does the same, but needs a client.
 *
 * @returns whether another page took it; the popup then closes itself. `false` for an ordinary
 * callback, and for one whose page is gone.
 */
export async function relayCallback(): Promise<boolean> {
  return (await relay()) ?? false;
}

/** As {@link relayCallback}; nothing, and at once, for an ordinary callback. */
export function relay(): Promise<boolean> | undefined {
  if (typeof location === "undefined" || typeof history === "undefined") return undefined;
  const url = location.href;
  if (relaying?.url === url) return relaying.taken;
  const state = stateOf(new URL(url));
  if (state.endsWith(".frame") && parent !== window) {
    forget();
    // Only a page of this origin gets it.
    parent.postMessage({ gatepass: url }, location.origin);
    return Promise.resolve(true);
  }
  if (!state.endsWith(".popup")) return undefined;
  const taken = handOver(url, state).then((isTaken) => {
    if (isTaken) {
      forget();
      close();
    }
    return isTaken;
  });
  relaying = { url, taken };
  return taken;
}

function handOver(url: string, state: string): Promise<boolean> {
  return new Promise((resolve) => {
    let channel: BroadcastChannel;
    try {
      channel = new BroadcastChannel(channelOf(state));
    } catch {
      // Where the browser refuses channels nobody waits for it.
      resolve(false);
      return;
    }
    const end = (isTaken: boolean): void => {
      clearTimeout(timer);
      channel.close();
      resolve(isTaken);
    };
    const timer = setTimeout(() => end(false), PATIENCE);
    channel.onmessage = () => end(true);
    channel.postMessage(url);
  });
}

/** Takes the response out of the window's address and history. */
function forget(): void {
  history.replaceState(history.state, "", location.pathname);
}
