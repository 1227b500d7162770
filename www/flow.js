// The flow as data: which steps there are, and the log of what happened in each. The page leaves for the
// provider in the middle of it, so the log lives in the tab's session storage. It holds names of
// parameters, decisions and times; never a token, code, verifier, state or nonce.

export const STEPS = [
  {
    id: "discovery",
    title: "Discovery",
    from: "page",
    to: "provider",
    about:
      "The page asks the provider for its metadata and compares the issuer character by character.",
  },
  {
    id: "redirect",
    title: "PKCE and redirect",
    from: "page",
    to: "provider",
    about:
      "A fresh verifier stays here, its hash goes along. The browser leaves for the login form.",
  },
  {
    id: "callback",
    title: "Callback checked",
    from: "provider",
    to: "page",
    about:
      "The provider sends the browser back. The answer must belong to the question of this tab.",
  },
  {
    id: "exchange",
    title: "Code for tokens",
    from: "page",
    to: "provider",
    about: "The code and the verifier are exchanged once, directly between page and provider.",
  },
  {
    id: "identity",
    title: "ID token checked",
    from: "provider",
    to: "page",
    about:
      "With the provider's keys: who signed it, for whom, when, and in answer to which question.",
  },
  {
    id: "call",
    title: "API call, checked by the worker",
    from: "page",
    to: "worker",
    about: "The access token travels in a header. The worker's guard decides from the token alone.",
  },
  {
    id: "refresh",
    title: "Refresh",
    from: "page",
    to: "provider",
    about: "A new pass without a new login. The refresh token is replaced with it.",
  },
  {
    id: "again",
    title: "Call again with the new pass",
    from: "page",
    to: "worker",
    about: "Same door, new token, same person.",
  },
  {
    id: "signOut",
    title: "Sign out",
    from: "page",
    to: "provider",
    about: "The page forgets its tokens first, then the provider ends the session.",
  },
];

export const REFUSALS = [
  {
    id: "admin",
    title: "A right that was never granted",
    from: "page",
    to: "worker",
    about: "The token is genuine, the route needs the scope admin.",
  },
  {
    id: "tamper",
    title: "A tampered token",
    from: "page",
    to: "worker",
    about: "A few characters of the signature are changed before it is sent.",
  },
];

const STORAGE_KEY = "gatepass-demo:log";

/**
 * One entry per step: { status, startedAt, ms, requests, checks, facts, headers, note, error }, where status is
 * "waiting", "running", "done", "refused" (the worker said no, as it should) or "failed".
 */
export function openLog(storage, onChange) {
  let entries = read(storage);

  const change = (id, values) => {
    entries = { ...entries, [id]: { ...entry(id), ...values } };
    storage.setItem(STORAGE_KEY, JSON.stringify(entries));
    onChange(id);
  };
  const entry = (id) =>
    entries[id] ?? { status: "waiting", requests: [], checks: [], facts: [], headers: [] };
  const since = (id) => Date.now() - (entry(id).startedAt ?? Date.now());

  return {
    entry,
    start: (id) => change(id, { ...empty(), status: "running", startedAt: Date.now() }),
    finish: (id, values) => change(id, { status: "done", ms: since(id), ...values }),
    refuse: (id, values) => change(id, { status: "refused", ms: since(id), ...values }),
    fail: (id, error) => change(id, { status: "failed", ms: since(id), error }),
    wait: (id, note) => change(id, { ...empty(), note }),
    addRequest: (id, request) => change(id, { requests: [...entry(id).requests, request] }),
    addChecks: (id, checks) =>
      change(id, { checks: [...new Set([...entry(id).checks, ...checks])] }),
    clear(ids) {
      for (const id of ids) change(id, empty());
    },
  };
}

const empty = () => ({
  status: "waiting",
  startedAt: undefined,
  ms: undefined,
  requests: [],
  checks: [],
  facts: [],
  headers: [],
  note: undefined,
  error: undefined,
});

/** A log that cannot be read is worth nothing; the flow then simply starts anew. */
function read(storage) {
  try {
    return JSON.parse(storage.getItem(STORAGE_KEY)) ?? {};
  } catch {
    return {};
  }
}
