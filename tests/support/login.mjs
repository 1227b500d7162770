// Logins of the command at a simulated provider, without a browser.

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";

import { makeFolder } from "./folder.mjs";

/** A home of its own, and a program that "opens the browser": it writes down what it was given. */
export function makeHome() {
  const home = makeFolder("home");
  const bin = join(home, "bin");
  mkdirSync(bin);
  const opener = join(bin, "xdg-open");
  writeFileSync(opener, `#!/bin/sh\nprintf '%s\\n' "$#" "$@" > "${home}/opened"\n`);
  chmodSync(opener, 0o755);
  return {
    home,
    env: { HOME: home, PATH: `${bin}:${process.env["PATH"]}`, BROWSER: "test" },
    /** How many arguments the opener had, and which. */
    async opened() {
      const file = join(home, "opened");
      for (let looks = 0; looks < 1000; looks++) {
        const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
        if (lines.length >= 3) return lines.slice(0, -1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.fail("nothing was opened");
    },
    tokens: join(home, ".gatepass/default/tokens.json"),
  };
}

/** Where the login says that it goes on. */
export const ADDRESS = /^ {2}(http\S+)$/m;

/** What a file holds as JSON. */
export const read = (file) => JSON.parse(readFileSync(file, "utf8"));

/** A request as it is written, to an address of this machine. */
export const raw = (url, headers = {}, host = "127.0.0.1") =>
  new Promise((resolve, reject) => {
    const { port, pathname, search } = new URL(url);
    const options = { host, port, path: pathname + search, headers, agent: false };
    const request = httpRequest(options, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.once("error", reject).end();
  });

/** A time from now on, in milliseconds. */
export const iso = (fromNow) => new Date(Date.now() + fromNow).toISOString();

/** As if the token had been issued an hour ago. */
export function age(tokens) {
  const saved = read(tokens);
  writeFileSync(
    tokens,
    JSON.stringify({ ...saved, issued_at: iso(-3600e3), expires_at: iso(-1000) }),
  );
  return saved;
}

/** @param gatepass of installProgram */
export function loginsOf(gatepass) {
  /** A login at the simulated provider, up to the address that is shown. */
  async function begin(t, provider, args = [], env = {}, { ready = ADDRESS } = {}) {
    const home = makeHome();
    const settings = {
      ...home.env,
      GATEPASS_ISSUER: provider.issuer,
      GATEPASS_CLIENT_ID: provider.clientId,
      GATEPASS_STORE: "file",
      ...env,
    };
    const login = gatepass.start(t, ["login", "--port", "0", ...args], { env: settings });
    const [, url] = await login.said(ready);
    return { ...home, settings, login, url, callback: () => provider.signInAt(url) };
  }

  /** A login at the simulated provider, to its end. */
  async function logIn(t, provider, env = {}) {
    const begun = await begin(t, provider, [], env);
    await fetch(begun.callback());
    const { code, stderr } = await begun.login.exited;
    assert.equal(code, 0, stderr);
    return begun;
  }

  return { begin, logIn };
}
