// gatepass token, exec and request: what one does with a token.

import { isUtf8 } from "node:buffer";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { isatty } from "node:tty";

import { ACCOUNT_SETTINGS, Account, DEBUG } from "./account.js";
import { isLoopback } from "./checker.js";
import type { Call, Command } from "./command.js";
import type { Configuration } from "./configuration.js";
import { tellingOutline } from "./debug.js";
import { EXIT, Failure, misconfigured } from "./failure.js";
import { codeOf, listenTo } from "./signal.js";
import { plain } from "./terminal.js";

const SETTINGS = ["accessToken", ...ACCOUNT_SETTINGS] as const;

/** For how long an API may be silent. */
const API_TIMEOUT_S = 60;

/** A token, and what comes after it. */
interface Pass {
  readonly token: string;
  readonly configuration: Configuration;
  /** Another one, once a server refused it; nothing where there is none. */
  again(): Promise<string | undefined>;
}

/** The access token of the environment, which is never refreshed and never stored, or that of a login. */
async function pass(call: Call, url?: string): Promise<Pass> {
  const configuration = (await call.configure(url)).check();
  const own = configuration.text("accessToken");
  if (own === undefined) {
    const account = await Account.open(call, configuration);
    const token = await account.accessToken();
    return { token, configuration, again: () => account.tokenAfter(token) };
  }
  return { token: own, configuration, again: async () => undefined };
}

export const token: Command = {
  name: "token",
  summary: "Prints the access token and nothing else, renewed when its end is near.",
  more: [
    'curl -H "Authorization: Bearer $(gatepass token)" https://api.example.com/me',
    "",
    "With --flow client_credentials and --store file or keyring, a token is kept for each audience,",
    "resource and scope that was asked for.",
  ],
  settings: SETTINGS,
  flags: [{ name: "show", help: "Prints it on a terminal too." }, DEBUG],

  async run(call) {
    const { flags, terminal } = call;
    if (process.stdout.isTTY && flags["show"] !== true) {
      throw misconfigured(
        "A token on a terminal stays in its history. --show prints it all the same.",
      );
    }
    const { token: text } = await pass(call);
    terminal.out(flags["json"] === true ? JSON.stringify({ access_token: text }) : text);
    return 0;
  },
};

/** The environment without the secrets of gatepass, which are not the program's business. */
function withoutSecrets(
  env: Call["env"],
  configuration: Configuration,
): Record<string, string | undefined> {
  // Windows knows no difference between their small and capital letters.
  const same = (name: string): string => (process.platform === "win32" ? name.toUpperCase() : name);
  const secret = new Set([...configuration.secretVariables()].map(same));
  return Object.fromEntries(Object.entries(env).filter(([name]) => !secret.has(same(name))));
}

export const exec: Command = {
  name: "exec",
  operands: "-- PROGRAM [ARGUMENT...]",
  summary: "Runs a program with the access token in its environment, and ends as it does.",
  isTransparent: true,
  settings: SETTINGS,
  flags: [
    {
      name: "variable",
      value: "NAME",
      help: "Which variable. Default: ACCESS_TOKEN.",
    },
    DEBUG,
  ],

  async run(call) {
    const { env, flags, operands } = call;
    const [program, ...args] = operands;
    if (program === undefined)
      throw misconfigured("gatepass exec needs a program: gatepass exec -- PROGRAM.");
    const variable = String(flags["variable"] ?? "ACCESS_TOKEN");
    if (!/^[A-Za-z_]\w*$/u.test(variable)) throw misconfigured("--variable is not a name.");
    const { token: text, configuration } = await pass(call);
    const cannot = ({ code }: NodeJS.ErrnoException): Failure =>
      new Failure(EXIT.failed, [`The program cannot be run (${code}).`]);
    let child: ChildProcess;
    try {
      // No shell stands between.
      child = spawn(program, args, {
        stdio: "inherit",
        env: { ...withoutSecrets(env, configuration), [variable]: text },
      });
    } catch (error) {
      // Some of what a system refuses is thrown at once, such as arguments that are too long.
      throw cannot(error as NodeJS.ErrnoException);
    }
    // Not process.stdin: what is opened here would be read here too.
    const isTerminal = [0, 1, 2].some((stream) => isatty(stream));
    const hand = (signal: NodeJS.Signals): void => {
      // A terminal sends its signals to the program too, which would get them twice.
      if (!isTerminal || signal === "SIGTERM") child.kill(signal);
    };
    // This process ends after the program, whatever becomes of that.
    const passed = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"] as const;
    const stop = listenTo(passed, hand);
    try {
      return await new Promise<number>((resolve, reject) => {
        child.once("error", (error) => reject(cannot(error)));
        child.once("close", (code, signal) =>
          resolve(code ?? (signal === null ? EXIT.failed : codeOf(signal))),
        );
      });
    } finally {
      stop();
    }
  },
};

export const request: Command = {
  name: "request",
  operands: "URL",
  summary: "Sends a request with the access token, and prints the answer's body.",
  more: [
    "Redirects are not followed, so the token goes to the named server and to no other. With --json it",
    "prints status, headers and body; a body that is no text comes as body_base64. Of this request",
    "--debug shows method, address, status and duration, and no values of its query.",
  ],
  settings: SETTINGS,
  flags: [
    {
      name: "method",
      value: "METHOD",
      help: "Default: GET, or POST with data.",
    },
    {
      name: "data",
      value: "TEXT",
      help: "The body; - reads it from standard input.",
    },
    {
      name: "content-type",
      value: "TYPE",
      help: "Of the body. Default: application/json.",
    },
    { name: "include", help: "Prints status and headers first." },
    DEBUG,
  ],

  async run(call) {
    const { flags, operands, terminal } = call;
    const [url, ...more] = operands;
    if (url === undefined || more.length > 0 || !URL.canParse(url)) {
      throw misconfigured("gatepass request takes one URL, such as https://api.example.com/me.");
    }
    if (new URL(url).protocol !== "https:" && !isLoopback(url)) {
      throw misconfigured("A token is sent over https only, or to this machine itself.");
    }
    const data = flags["data"] === undefined ? undefined : String(flags["data"]);
    const method = String(flags["method"] ?? (data === undefined ? "GET" : "POST"));
    const type = String(flags["content-type"] ?? "application/json");
    // Before a token is asked for, and before anything is read.
    checkUse({ url, method, type, hasBody: data !== undefined });
    const { token, configuration, again } = await pass(call, url);
    const patience = new Patience(configuration.integer("timeout") ?? API_TIMEOUT_S);
    const body = data === "-" ? await standardInput() : data;
    const transport =
      flags["debug"] === true ? tellingOutline(fetch, (line) => terminal.err(plain(line))) : fetch;
    const send = (shown: string): Promise<Response> =>
      patience.during((signal) =>
        transport(url, {
          method,
          redirect: "manual",
          signal,
          headers: {
            authorization: `Bearer ${shown}`,
            ...(body !== undefined && { "content-type": type }),
          },
          ...(body !== undefined && { body }),
        }),
      );
    try {
      let response: Response;
      response = await send(token);
      if (response.status === 401) {
        // Once: a server that refuses the new one too means something else.
        const next = await again();
        if (next !== undefined && next !== token) {
          await response.body?.cancel();
          response = await send(next);
        }
      }
      const chunks = patience.chunks(response);
      if (flags["json"] === true) terminal.out(JSON.stringify(await described(response, chunks)));
      else {
        if (flags["include"] === true) {
          const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
          const head = [`${response.status} ${response.statusText}`, ...lines, ""];
          terminal.out(plain(head.join("\n")));
        }
        // As it came: it may be anything.
        for await (const chunk of chunks) process.stdout.write(chunk);
      }
      if (response.ok) return 0;
      const phrase = plain(`${response.status} ${response.statusText}`.trimEnd());
      terminal.err(`The server answered ${phrase}.`);
      return response.status === 401 || response.status === 403 ? EXIT.refused : EXIT.failed;
    } catch (error) {
      if (error instanceof Failure) throw error;
      const { host } = new URL(url);
      if (patience.isOver) {
        const problem = `upstream_timeout: ${host} was silent for ${patience.seconds} seconds; --timeout allows for more.`;
        throw new Failure(EXIT.timeout, [problem], "upstream_timeout");
      }
      const { code = "no answer", message } = ((error as Error).cause ?? {}) as {
        code?: string;
        message?: string;
      };
      // That is how fetch names the ports of mail and the like, to which it never connects.
      if (message === "bad port") {
        throw misconfigured(`${host}: HTTP is not spoken at that port. Take another one.`);
      }
      throw new Failure(
        EXIT.failed,
        [`${host} cannot be reached (${code}).`],
        "upstream_unreachable",
      );
    }
  },
};

/** What `fetch` would refuse in a way that looks like a server that is away. */
function checkUse({
  url,
  method,
  type,
  hasBody,
}: {
  readonly url: string;
  readonly method: string;
  readonly type: string;
  readonly hasBody: boolean;
}): void {
  const problems: string[] = [];
  const { username, password } = new URL(url);
  if (username !== "" || password !== "") {
    problems.push(
      "The URL has a user name or a password in it. Leave them out: the token is sent.",
    );
  }
  // RFC 9110 section 9.1; the second are methods that fetch forbids.
  if (!/^[\w!#$%&'*+.^`|~-]+$/u.test(method)) problems.push("--method is not a method of HTTP.");
  else if (/^(?:CONNECT|TRACE|TRACK)$/iu.test(method)) {
    problems.push(`--method ${method.toUpperCase()} cannot be sent with a token.`);
  } else if (hasBody && /^(?:GET|HEAD)$/iu.test(method)) {
    problems.push(
      `--method ${method.toUpperCase()} has no body. Leave out --data, or take another method.`,
    );
  }
  if (!/^[\t\x20-\x7e]+$/u.test(type) || type.trim() === "") {
    problems.push("--content-type must be one line of ASCII, such as text/plain.");
  }
  if (problems.length > 0) throw misconfigured(...problems);
}

/** Ends a request that was silent for too long. What goes on, such as a stream, may go on. */
class Patience {
  readonly #end = new AbortController();

  constructor(readonly seconds: number) {}

  get isOver(): boolean {
    return this.#end.signal.aborted;
  }

  async during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#end.abort(), 1000 * this.seconds);
    try {
      return await work(this.#end.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async *chunks({ body }: Response): AsyncGenerator<Uint8Array> {
    const reader = (body as ReadableStream<Uint8Array> | null)?.getReader();
    for (;;) {
      const { done, value } = (await this.during(async () => reader?.read())) ?? { done: true };
      if (done || value === undefined) return;
      yield value;
    }
  }
}

/** A whole answer, for programs. */
async function described(
  { headers, status }: Response,
  chunks: AsyncIterable<Uint8Array>,
): Promise<object> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  const bytes = Buffer.concat(parts);
  const cookies = headers.getSetCookie();
  const shown = {
    status,
    // One name may come several times only where its values cannot be joined.
    headers: {
      ...Object.fromEntries(headers),
      ...(cookies.length > 0 && { "set-cookie": cookies }),
    },
  };
  return isUtf8(bytes)
    ? { ...shown, body: bytes.toString("utf8") }
    : { ...shown, body_base64: bytes.toString("base64") };
}

async function standardInput(): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}
