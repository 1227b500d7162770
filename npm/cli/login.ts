// gatepass login, logout and status.

import { createInterface } from "node:readline";

import { GatepassError } from "gatepass/backend";
import type { BackendClient } from "gatepass/backend";

import { ACCOUNT_SETTINGS, Account, DEBUG, SessionStore, failureOf } from "./account.js";
import { openBrowser } from "./browser.js";
import type { Call, Command } from "./command.js";
import { EXIT, Failure, misconfigured } from "./failure.js";
import { listen } from "./loopback.js";
import type { Loopback } from "./loopback.js";
import type { Provider } from "./provider.js";
import { listenTo } from "./signal.js";
import { plain, spinner } from "./terminal.js";
import { fixModes, isInWorkTree, prepare } from "./vault.js";

const LIMIT_S = 300;

export const login: Command = {
  name: "login",
  summary: "Signs in, and keeps the tokens for the other commands.",
  more: [
    "In the browser by default, which comes back to a page on this machine. With --device one types a",
    "code elsewhere; with --no-browser one opens the address oneself and may paste the address to which",
    "the browser was sent back.",
  ],
  // A flag of its own has this name.
  settings: ACCOUNT_SETTINGS.filter((name) => name !== "timeout"),
  flags: [
    { name: "device", help: "Signs in with a code on another device (RFC 8628)." },
    { name: "no-browser", help: "Opens no browser; reads the address that it ends at." },
    { name: "port", value: "NUMBER", help: "The port to come back to; 0 takes any." },
    {
      name: "timeout",
      value: "SECONDS",
      help: `How long to wait for the user. Default: ${LIMIT_S}.`,
    },
    DEBUG,
  ],

  async run(call) {
    const { flags, terminal } = call;
    const account = await Account.open(call);
    const limitMs = 1000 * secondsOf(flags["timeout"]);
    const port = portOf(flags["port"]);
    if (account.flow === "client_credentials") {
      // There is nobody to sign in: whether a token can be got is all there is to try.
      await account.accessToken();
      if (flags["json"] === true) terminal.out(JSON.stringify(statusOf(account)));
      terminal.err(terminal.err.green("The credentials are good; no login is needed."));
      return 0;
    }
    if (account.configuration.found("accessToken")) {
      const where = account.configuration.found("accessToken")?.where;
      throw misconfigured(`${where} is set: that token is used, and a login would change nothing.`);
    }
    const { vault } = account;
    if (vault.kind === "none") {
      throw misconfigured("With store none a login would be forgotten at once.");
    }
    if (isInWorkTree(vault)) {
      terminal.err(`${vault.where} lies in a git work tree: see that it is never committed.`);
    }
    const isDevice = flags["device"] === true || account.flow === "device";
    const provider = await account.provider(isDevice ? "device" : "code");
    account.refuseForeign(provider);
    // Before anybody signs in for nothing.
    prepare(vault);
    vault.prove();
    const asked = account.scope(provider);
    const store = new SessionStore(vault, account.configuration.text("clientId") ?? "");
    const asks: Asks = { account, call, store, limitMs, port, provider };
    const client = isDevice ? await byDevice(asks) : await byBrowser(asks);
    try {
      store.rethrow();
      const { scope, subject } = client.state();
      if (flags["json"] === true) terminal.out(JSON.stringify(statusOf(account)));
      const who = subject === undefined ? "" : ` as ${plain(subject)}`;
      terminal.err(terminal.err.green(`Logged in${who}. The tokens are in ${vault.where}.`));
      const missing = (asked ?? "").split(" ").filter((one) => !` ${scope} `.includes(` ${one} `));
      if (scope !== undefined && missing.length > 0) {
        terminal.err(`Not granted: ${missing.join(" ")}. Granted: ${plain(scope)}.`);
      }
      return 0;
    } finally {
      client.dispose();
    }
  },
};

interface Asks {
  readonly account: Account;
  readonly call: Call;
  readonly store: SessionStore;
  readonly provider: Provider;
  readonly limitMs: number;
  readonly port: string | undefined;
}

function secondsOf(given: string | boolean | undefined): number {
  if (given === undefined) return LIMIT_S;
  const seconds = Number(given);
  if (!/^\d{1,5}$/u.test(String(given)) || seconds === 0) {
    throw misconfigured("--timeout must be a whole number of seconds, from 1 to 99999.");
  }
  return seconds;
}

/** The port to come back to; 0 takes any. */
function portOf(given: string | boolean | undefined): string | undefined {
  if (given === undefined) return undefined;
  const port = String(given);
  if (!/^\d{1,5}$/u.test(port) || Number(port) > 65_535) {
    throw misconfigured("--port must be a whole number from 0 to 65535.");
  }
  return port;
}

const timedOut = (what: string): Failure =>
  new Failure(EXIT.timeout, ["Authentication timeout", what]);

async function byBrowser({
  account,
  call,
  store,
  provider,
  limitMs,
  port,
}: Asks): Promise<BackendClient> {
  const { env, flags, terminal } = call;
  const isByHand = flags["no-browser"] === true;
  let loopback: Loopback | undefined;
  let obstacle: Failure | undefined;
  try {
    loopback = await listen(account.redirectUri(port));
  } catch (error) {
    // Who pastes the address needs no port, unless it is to be any.
    if (!isByHand || port === "0" || !(error instanceof Failure)) throw error;
    if (error.exitCode !== EXIT.failed) throw error;
    obstacle = error;
  }
  const redirectUri = loopback?.redirectUri ?? account.redirectUri(port);
  const end = new AbortController();
  let client: BackendClient | undefined;
  try {
    client = await account.client(provider, { store, redirectUri });
    const signedIn = client;
    const url = (await client.signInUrl()).href;
    terminal.err("Sign in here:");
    terminal.err(`  ${plain(url)}`);
    const isOpen = !isByHand && (await openBrowser(url, env));
    if (!isOpen && !isByHand)
      terminal.err("No browser could be opened: open the address yourself.");

    const accept = async (callback: string): Promise<boolean> => {
      try {
        await account.alone(async (held) => {
          store.held = held;
          account.refuseForeign(provider);
          await signedIn.handleCallback(callback);
        });
        store.rethrow();
        return true;
      } catch (caught) {
        const error = store.problem ?? store.obstacle ?? caught;
        if (!(error instanceof GatepassError)) throw error;
        // Of a login that nobody began here: a page that was left open, or somebody who guesses.
        if (STRANGERS.includes(error.code)) return false;
        throw failureOf(error, account.configuration);
      }
    };
    const ways: Promise<void>[] = [late(limitMs, end.signal)];
    if (loopback) ways.push(loopback.wait(accept));
    if (isByHand || (!isOpen && process.stdin.isTTY)) {
      terminal.err("Or paste the address to which the browser was sent back:");
      ways.push(pasted(redirectUri, accept, terminal, end.signal, obstacle));
    }
    const stop = spinner(terminal, "Waiting for the browser");
    try {
      await Promise.race(ways);
    } finally {
      stop();
    }
    return client;
  } catch (error) {
    client?.dispose();
    throw error instanceof GatepassError ? failureOf(error, account.configuration) : error;
  } finally {
    end.abort();
    loopback?.close();
  }
}

/** What the core says of a callback that is not of this login. */
const STRANGERS: readonly string[] = [
  "flow_unknown",
  "state_missing",
  "state_mismatch",
  "param_invalid",
];

function late(limitMs: number, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(
      () => reject(timedOut(`Nobody came back within ${limitMs / 1000} seconds. Try again.`)),
      limitMs,
    );
    signal.addEventListener("abort", () => clearTimeout(timer));
  });
}

/**
 * Lines of standard input, until one is the callback.
 *
 * @param obstacle why there is no page to come back to: then nobody comes once the lines end
 */
function pasted(
  redirectUri: string,
  accept: (url: string) => Promise<boolean>,
  terminal: Call["terminal"],
  signal: AbortSignal,
  obstacle: Failure | undefined,
): Promise<void> {
  const lines = createInterface({ input: process.stdin });
  signal.addEventListener("abort", () => lines.close());
  let last: Promise<unknown> = Promise.resolve();
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const text = line.trim();
      if (text === "") return;
      const isOurs = URL.canParse(text) && text.startsWith(redirectUri);
      if (!isOurs) return terminal.err(`That address does not begin with ${redirectUri}.`);
      const taken = accept(text).then((isTaken) => {
        if (isTaken) resolve();
        else terminal.err("That is not the login that waits.");
      }, reject);
      last = Promise.all([last, taken]);
    });
    if (!obstacle) return;
    const why = "Standard input has ended without the address, and no page waits for the browser.";
    const stuck = new Failure(obstacle.exitCode, [why, ...obstacle.lines]);
    lines.once("close", () => void last.then(() => reject(stuck)));
  });
}

async function byDevice({ account, call, store, provider, limitMs }: Asks): Promise<BackendClient> {
  const { env, flags, terminal } = call;
  const { configuration } = account;
  const metadata = await provider.metadata();
  if (metadata !== undefined && metadata["device_authorization_endpoint"] === undefined) {
    throw misconfigured(
      `The provider names no endpoint for device logins: ${configuration.namesOf("deviceUrl")} is not set.`,
    );
  }
  const client = await account.client(provider, { store });
  const end = new AbortController();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    end.abort();
  }, limitMs);
  let isInterrupted = false;
  const stopListening = listenTo(["SIGINT"], () => {
    // Who says so twice waits for nothing.
    if (isInterrupted) process.exit(EXIT.interrupted);
    isInterrupted = true;
    end.abort();
  });
  try {
    const prompt = await client.deviceLogin();
    const { userCode, verificationUri, verificationUriComplete } = prompt;
    if (flags["json"] === true) {
      terminal.out(
        JSON.stringify({
          verification_uri: verificationUri,
          ...(verificationUriComplete !== undefined && {
            verification_uri_complete: verificationUriComplete,
          }),
          user_code: userCode,
          expires_at: new Date(1000 * prompt.expiresAt).toISOString(),
        }),
      );
    }
    terminal.err(`Go to    ${plain(verificationUri)}`);
    terminal.err(`and type ${terminal.err.bold(plain(userCode))}`);
    if (flags["no-browser"] !== true) {
      await openBrowser(verificationUriComplete ?? verificationUri, env);
    }
    const stop = spinner(terminal, "Waiting for you there");
    try {
      await prompt.finish({ signal: end.signal });
    } finally {
      stop();
    }
    return client;
  } catch (error) {
    client.dispose();
    if (isInterrupted) throw new Failure(EXIT.interrupted, ["Interrupted. Nobody was logged in."]);
    if (store.obstacle) throw store.obstacle;
    if (isLate) throw timedOut(`Nobody typed the code within ${limitMs / 1000} seconds.`);
    if (!(error instanceof GatepassError)) throw error;
    if (error.code === "flow_expired") throw timedOut("The code has expired. Try again.");
    throw failureOf(error, configuration);
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}

export const logout: Command = {
  name: "logout",
  summary: "Ends the login here, and its tokens at the provider (RFC 7009).",
  settings: ACCOUNT_SETTINGS,
  flags: [
    { name: "global", help: "Also opens the provider's own page for signing out." },
    { name: "no-browser", help: "Opens no browser; shows the address." },
    DEBUG,
  ],

  async run(call) {
    const { env, flags, terminal } = call;
    const account = await Account.open(call);
    const { vault } = account;
    const saved = vault.kind === "none" ? undefined : account.saved();
    const wasSignedIn = saved !== undefined;
    const tell = (revoked: boolean): void => {
      if (flags["json"] !== true) return;
      terminal.out(JSON.stringify({ signed_in: false, was_signed_in: wasSignedIn, revoked }));
    };
    if (!wasSignedIn) {
      terminal.err("Nobody was logged in.");
      tell(false);
      return 0;
    }
    let ended: Ended = { page: null, isRevoked: false };
    const isProgram = account.flow === "client_credentials";
    const provider = isProgram ? undefined : await account.provider();
    await account.aloneIfPossible(async () => {
      // As it is now: while this process waited for its turn, another one may have signed in.
      const now = account.saved();
      const whose = now && account.stranger(now, provider);
      if (whose !== undefined) {
        const advice = "To end that one, log out with the settings it was made with.";
        throw new Failure(
          EXIT.notLoggedIn,
          [`Not logged in: ${vault.where} ${whose}, and was left alone. ${advice}`],
          "login_foreign",
        );
      }
      try {
        if (provider) {
          ended = await endAtProvider(account, provider);
          const why = account.saw("revocation_failed") ? "" : ", which takes none back";
          if (!ended.isRevoked) terminal.err(`The tokens may live on at the provider${why}.`);
        }
      } catch (error) {
        // Whatever the provider does: here it is over.
        const why =
          error instanceof GatepassError ? failureOf(error, account.configuration) : error;
        const text = why instanceof Error ? why.message.replaceAll("\n", " ") : "no answer";
        terminal.err(`The tokens may live on at the provider: ${plain(text)}`);
      } finally {
        account.forget();
      }
    });
    terminal.err(terminal.err.green("Logged out."));
    tell(ended.isRevoked);
    const leave = ended.page;
    if (flags["global"] !== true || leave === null) return 0;
    if (flags["no-browser"] !== true && (await openBrowser(leave.href, env))) return 0;
    terminal.err(
      `Sign out at the provider here, and keep the address to yourself:\n  ${leave.href}`,
    );
    return 0;
  },
};

interface Ended {
  /** Where to go to sign out at the provider, if anywhere. */
  readonly page: URL | null;
  /** Whether the provider was told to end tokens, and took it. */
  readonly isRevoked: boolean;
}

async function endAtProvider(account: Account, provider: Provider): Promise<Ended> {
  const store = new SessionStore(account.vault, account.configuration.text("clientId") ?? "");
  // Whatever it was made for: it is the login of this client at this provider.
  store.takesAnyPlace = true;
  let isTold = false;
  const send: typeof fetch = (input, init) => {
    // RFC 7009 section 2.1.
    isTold ||= init?.method === "POST" && /(?:^|&)token=/u.test(String(init.body));
    return provider.fetch(input, init);
  };
  const client = await account.client({ ...provider, fetch: send }, { store });
  try {
    if (store.isUnread) throw new Error("what is kept of them cannot be read.");
    store.mayRemove = true;
    const page = await client.signOutUrl();
    if (store.foreign !== undefined) {
      throw new Error("what it publishes of itself cannot be read.");
    }
    return { page, isRevoked: isTold && !account.saw("revocation_failed") };
  } finally {
    client.dispose();
  }
}

/** What can be told of a login without its tokens. */
function statusOf(account: Account): Record<string, unknown> {
  const { configuration, vault } = account;
  const manual = configuration.found("accessToken");
  if (manual) return { signed_in: true, store: "environment", refresh_available: false };
  const [saved, ...others] = account.shown();
  const common = {
    server: configuration.server ?? "default",
    store: vault.kind,
    ...(vault.kind === "file" && { path: vault.where }),
  };
  if (saved === undefined) return { signed_in: false, ...common };
  const { issuer, scope, expires_at, user } = saved;
  const isOver = expires_at !== undefined && Date.parse(expires_at) <= Date.now();
  const canRefresh = saved.refresh_token !== undefined;
  return {
    signed_in: !isOver || canRefresh,
    ...common,
    ...(issuer !== undefined && { issuer }),
    ...(typeof user?.sub === "string" && { subject: user.sub }),
    ...(scope !== undefined && scope !== "" && { scope }),
    ...(expires_at !== undefined && { expires_at }),
    refresh_available: canRefresh,
    ...(others.length > 0 && { tokens: 1 + others.length }),
  };
}

export const status: Command = {
  name: "status",
  summary: "Says who is logged in, for what and until when; never a token.",
  settings: ["clientId", "flow", "store", "storePath", "accessToken"],
  flags: [{ name: "fix-perms", help: "Makes the file of tokens one's own again." }],

  async run(call) {
    const { flags, terminal } = call;
    const account = await Account.open(call);
    if (flags["fix-perms"] === true) fixModes(account.vault);
    const state = statusOf(account);
    const isIn = state["signed_in"] === true;
    if (flags["json"] === true) terminal.out(JSON.stringify(state));
    else if (!isIn) throw account.noToken();
    else {
      for (const [name, value] of Object.entries(state)) {
        if (name !== "signed_in") terminal.out(`${name.padEnd(18)} ${plain(String(value))}`);
      }
    }
    return isIn ? 0 : EXIT.notLoggedIn;
  },
};
