// Parts of the command that are better looked at by themselves.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { makeFolder } from "../support/folder.mjs";
import { installPackage } from "../support/installed.mjs";

let load;
before(() => {
  const { project } = installPackage("cli-parts");
  load = (file) => import(join(project, "node_modules/gatepass/dist", file));
});

const makeLock = () => join(makeFolder("lock"), "tokens.json.lock");

test("S1-07 who holds the lock is alone, however many wait", async () => {
  const { alone } = await load("cli/process-lock.js");
  const path = makeLock();
  let inside = 0;
  let most = 0;
  const work = async ({ isMine }) => {
    most = Math.max(most, ++inside);
    assert.ok(isMine());
    await new Promise((resolve) => setTimeout(resolve, 2));
    inside--;
  };
  await Promise.all(Array.from({ length: 30 }, () => alone(path, 60_000, work)));
  assert.equal(most, 1);
  assert.ok(!existsSync(path));
});

test("S1-07 a lock whose holder shows no life is taken by one of those who wait, and the holder knows", async () => {
  const { alone } = await load("cli/process-lock.js");
  const path = makeLock();
  // Of another machine: whether its process lives cannot be asked.
  writeFileSync(path, JSON.stringify({ host: "elsewhere.invalid", pid: 1, id: "x" }));
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 2));
    inside--;
  };
  const stale = 200;
  await Promise.all(Array.from({ length: 10 }, () => alone(path, 60_000, work, stale)));
  assert.equal(most, 1);
  assert.deepEqual(readdirSync(join(path, "..")), []);
  // A process that slept with the lock.
  await alone(path, 1000, async ({ isMine }) => {
    writeFileSync(path, "another one's");
    assert.equal(isMine(), false);
  });
  assert.ok(existsSync(path), "the other one's lock stays");
});

test("S1-07 a lock that is held for too long is a timeout", async () => {
  const { alone } = await load("cli/process-lock.js");
  const path = makeLock();
  await alone(path, 1000, async () => {
    await assert.rejects(
      alone(path, 100, async () => {}),
      { exitCode: 4 },
    );
  });
});

test("S4-39 a bucket holds what comes in two seconds, for each address its own, and forgets the oldest", async () => {
  const { RateLimit } = await load("server/rate.js");
  const limit = new RateLimit(5);
  const take = (address, now) => limit.take(address, now);
  for (let at = 0; at < 10; at++) assert.equal(take("a", 0), 0);
  assert.equal(take("a", 0), 1);
  assert.equal(take("b", 0), 0);
  assert.equal(take("a", 100), 1);
  assert.equal(take("a", 200), 0);
  assert.equal(take("a", 200), 1);
  for (let at = 0; at < 20_000; at++) take(`x${at}`, 300);
  // Forgotten, it begins anew.
  for (let at = 0; at < 10; at++) assert.equal(take("a", 300), 0);
});

test("S2-09 S2-10 S2-11 S2-12 the issuer of an endpoint is looked for where providers have it", async () => {
  const { issuersNear } = await load("cli/provider.js");
  for (const [endpoint, issuer] of [
    ["https://your-domain.auth0.com/authorize", "https://your-domain.auth0.com"],
    [
      "https://your-domain.okta.com/oauth2/default/v1/authorize",
      "https://your-domain.okta.com/oauth2/default",
    ],
    [
      "https://login.microsoftonline.com/your-tenant-id/oauth2/v2.0/authorize",
      "https://login.microsoftonline.com/your-tenant-id/v2.0",
    ],
    ["https://accounts.google.com/o/oauth2/v2/auth", "https://accounts.google.com"],
  ]) {
    assert.ok(issuersNear(endpoint).includes(issuer), endpoint);
  }
});

test("DEV-19 colours are for the stream that is a terminal: the other one may be a file", async () => {
  const { makeTerminal } = await load("cli/terminal.js");
  const stream = (isTTY) => {
    const written = [];
    return { isTTY, written, write: (text) => written.push(text) };
  };
  for (const [env, outIsTTY, errIsTTY, expected] of [
    [{}, true, true, ["\u001b[31mx\u001b[0m\n", "\u001b[32my\u001b[0m\n"]],
    [{}, false, true, ["x\n", "\u001b[32my\u001b[0m\n"]],
    [{}, true, false, ["\u001b[31mx\u001b[0m\n", "y\n"]],
    [{}, false, false, ["x\n", "y\n"]],
    [{ NO_COLOR: "1" }, true, true, ["x\n", "y\n"]],
    [{ NO_COLOR: "" }, true, true, ["\u001b[31mx\u001b[0m\n", "\u001b[32my\u001b[0m\n"]],
    [{ TERM: "dumb" }, true, true, ["x\n", "y\n"]],
  ]) {
    const [stdout, stderr] = [stream(outIsTTY), stream(errIsTTY)];
    const { out, err, isInteractive } = makeTerminal(env, { stdout, stderr });
    out(out.red("x"));
    err(err.green("y"));
    assert.deepEqual([...stdout.written, ...stderr.written], expected);
    assert.equal(isInteractive, errIsTTY);
  }
});

test("what holds without a setting stands in one place, as README and help say it", async () => {
  const { fallbackOf } = await load("cli/setting.js");
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const help = readFileSync(new URL("golden/help-serve.txt", import.meta.url), "utf8");
  const address = `${fallbackOf("host")}:${fallbackOf("port")}`;
  assert.ok(readme.includes(`the guard as an HTTP service on \`${address}\``));
  for (const name of ["host", "port", "rateLimit", "logLevel", "logUser", "drainTimeout"]) {
    assert.ok(help.includes(`Default: ${fallbackOf(name)}.`), name);
  }
});
