// gatepass token, exec and request: what one does with a token that is there.

import { spawn } from "node:child_process";
import { constants } from "node:os";

import { isLoopback } from "./checker.js";
import type { Call, Command } from "./command.js";
import { EXIT, Failure, misconfigured } from "./failure.js";

const SETTINGS = ["accessToken"] as const;

/** The access token of the environment: never refreshed, never stored. */
function accessToken(configure: Call["configure"], url?: string): string {
  const configuration = configure(url).check();
  const token = configuration.text("accessToken");
  if (token === undefined) {
    const hint = `Set ${configuration.namesOf("accessToken")}.`;
    throw new Failure(EXIT.notLoggedIn, [`Not logged in. ${hint}`]);
  }
  // Anything else would break the header or the variable that it goes into.
  if (!/^[\w.~+/-]+=*$/u.test(token)) {
    throw misconfigured(
      `${configuration.found("accessToken")?.where}: that is not a token (RFC 6750 section 2.1).`,
    );
  }
  return token;
}

export const token: Command = {
  name: "token",
  summary: "Prints the access token and nothing else.",
  more: ['curl -H "Authorization: Bearer $(gatepass token)" https://api.example.com/me'],
  settings: SETTINGS,

  async run({ configure, flags, terminal }) {
    const text = accessToken(configure);
    terminal.out(flags["json"] === true ? JSON.stringify({ access_token: text }) : text);
    return 0;
  },
};

export const exec: Command = {
  name: "exec",
  operands: "-- PROGRAM [ARGUMENT...]",
  summary: "Runs a program with the access token in its environment, and ends as it does.",
  settings: SETTINGS,
  flags: [
    {
      name: "variable",
      value: "NAME",
      help: "Which variable. Default: ACCESS_TOKEN.",
    },
  ],

  async run({ configure, env, flags, operands }) {
    const [program, ...args] = operands;
    if (program === undefined) throw misconfigured("gatepass exec needs a program behind --.");
    const variable = String(flags["variable"] ?? "ACCESS_TOKEN");
    if (!/^[A-Za-z_]\w*$/u.test(variable)) throw misconfigured("--variable is not a name.");
    const text = accessToken(configure);
    // No shell stands between.
    const child = spawn(program, args, {
      stdio: "inherit",
      env: { ...env, [variable]: text },
    });
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    const passed = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of passed) process.on(signal, pass);
    try {
      return await new Promise<number>((resolve, reject) => {
        child.once("error", ({ code }: NodeJS.ErrnoException) =>
          reject(new Failure(EXIT.failed, [`The program cannot be run (${code}).`])),
        );
        // As shells do: 128 and the number of the signal.
        child.once("close", (code, signal) =>
          resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
        );
      });
    } finally {
      for (const signal of passed) process.off(signal, pass);
    }
  },
};

export const request: Command = {
  name: "request",
  operands: "URL",
  summary: "Sends a request with the access token, and prints the answer's body.",
  more: ["Redirects are not followed, so the token goes to the named server and to no other."],
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
  ],

  async run({ configure, flags, operands, terminal }) {
    const [url, ...more] = operands;
    if (url === undefined || more.length > 0 || !URL.canParse(url)) {
      throw misconfigured("gatepass request takes one URL.");
    }
    if (!url.startsWith("https:") && !isLoopback(url)) {
      throw misconfigured("A token is sent over https only, or to this machine itself.");
    }
    const authorization = `Bearer ${accessToken(configure, url)}`;
    const data = flags["data"] === undefined ? undefined : String(flags["data"]);
    const body = data === "-" ? await standardInput() : data;
    const method = String(flags["method"] ?? (body === undefined ? "GET" : "POST"));
    const type = String(flags["content-type"] ?? "application/json");
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        redirect: "manual",
        headers: {
          authorization,
          ...(body !== undefined && { "content-type": type }),
        },
        ...(body !== undefined && { body }),
      });
    } catch (error) {
      const { code = "no answer" } = ((error as Error).cause ?? {}) as {
        code?: string;
      };
      throw new Failure(EXIT.failed, [`${new URL(url).host} cannot be reached (${code}).`]);
    }
    if (flags["include"] === true) {
      const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
      terminal.out([`${response.status} ${response.statusText}`, ...lines, ""].join("\n"));
    }
    // As it came: it may be anything.
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      process.stdout.write(chunk);
    }
    if (response.ok) return 0;
    terminal.err(`The server answered ${response.status} ${response.statusText}.`.trim());
    return response.status === 401 || response.status === 403 ? EXIT.refused : EXIT.failed;
  },
};

async function standardInput(): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}
