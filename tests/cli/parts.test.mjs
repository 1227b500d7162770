// Parts of the command that are better looked at by themselves.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { makeFolder } from "../support/folder.mjs";
import { installPackage } from "../support/installed.mjs";

let load;
let project;
before(() => {
  ({ project } = installPackage("cli-parts"));
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

/** A lock as this process writes it, with something else in place of a part. */
async function lockOf(alone, path, change) {
  const other = makeLock();
  let held;
  await alone(other, 1000, async () => void (held = JSON.parse(readFileSync(other, "utf8"))));
  writeFileSync(path, JSON.stringify({ ...held, ...change(held) }));
}

/** The number of a process that has ended. */
const gone = () => spawnSync(process.execPath, ["-e", ""]).pid;

test("S1-07 the lock of a process that is gone is taken at once, but not that of another container or machine of the same name", async () => {
  const { alone } = await load("cli/process-lock.js");
  const path = makeLock();
  const take = () => alone(path, 300, async () => {});
  await lockOf(alone, path, () => ({ pid: gone() }));
  await take();
  const pid = gone();
  await lockOf(alone, path, ({ host }) => ({ pid, host: `${host} pid:[1]` }));
  await assert.rejects(take(), { exitCode: 4 });
  await lockOf(alone, path, () => ({ pid, host: hostname() }));
  if (existsSync("/proc/self/ns/pid")) await assert.rejects(take(), { exitCode: 4 });
  else await take();
});

/** Another namespace of processes, as containers have it; not every user may make one. */
const UNSHARE = ["-p", "-f", "--mount-proc"];
const noUnshare =
  spawnSync("unshare", [...UNSHARE, "true"]).status !== 0 && "unshare -p is not possible here";

test(
  "S1-07 a process in another namespace waits for the one that holds the lock",
  { skip: noUnshare },
  async (t) => {
    const path = makeLock();
    const module = join(project, "node_modules/gatepass/dist/cli/process-lock.js");
    const script = (work) => `
    const { alone } = await import(${JSON.stringify(module)});
    try {
      await alone(${JSON.stringify(path)}, 500, async ({ isMine }) => { ${work} });
    } catch ({ exitCode }) {
      console.log("failed", exitCode);
    }`;
    const node = (work) => [process.execPath, "--input-type=module", "-e", script(work)];
    const [program, ...args] = node(
      `console.log("held"); await new Promise((resolve) => process.stdin.once("data", resolve));
     console.log("mine", isMine()); process.stdin.destroy();`,
    );
    const holder = spawn(program, args);
    t.after(() => holder.kill("SIGKILL"));
    let said = "";
    await new Promise((resolve) =>
      holder.stdout.on("data", (data) => {
        said += data;
        resolve();
      }),
    );
    const other = spawnSync("unshare", [...UNSHARE, ...node('console.log("got in");')]);
    assert.equal(String(other.stdout), "failed 4\n", String(other.stderr));
    holder.stdin.write("go\n");
    await once(holder, "close");
    assert.equal(said, "held\nmine true\n");
  },
);

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

test(
  "whoever the system does not know has no home, and nobody has a relative one",
  { skip: process.getuid?.() !== 0 && "only root can be somebody else" },
  () => {
    const file = join(project, "node_modules/gatepass/dist/cli/home.js");
    const script = `
      const { home } = await import(${JSON.stringify(pathToFileURL(file).href)});
      const found = ["/some/where", "", "."].map((HOME) => (Object.assign(process.env, { HOME }), home()));
      delete process.env.HOME;
      process.setuid(54_321);
      console.log(JSON.stringify([...found, home()]));
    `;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
    assert.equal(String(stdout), '["/some/where",null,null,null]\n', String(stderr));
  },
);

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

test("the proofs that were used of late are remembered: 32,768 at least, and the oldest make room", async (t) => {
  const { UsedProofs } = await load("server/replay.js");
  t.mock.timers.enable({ apis: ["Date"] });
  const used = new UsedProofs();
  assert.deepEqual([used.remember("a", 90), used.remember("a", 90)], [true, false]);
  t.mock.timers.tick(90_000);
  assert.deepEqual([used.remember("b", 90), used.remember("a", 90)], [true, false]);
  for (let at = 1; at < 32_767; at++) assert.equal(used.remember(`x${at}`, 90), true);
  assert.deepEqual([used.remember("a", 90), used.remember("b", 90)], [false, false]);
  t.mock.timers.tick(1);
  // What is over makes room first.
  assert.equal(used.remember("y", 90), true);
  assert.deepEqual([used.remember("b", 90), used.remember("a", 90)], [false, true]);
  assert.equal(used.remember("b", 90), true);
});

test("S4-16 of two routes that a request could be about both hold, and what has a route of its own is not asked for another one's", async () => {
  const { makeRouter } = await load("server/route.js");
  const find = (routes, method, path) => {
    const route = makeRouter(routes.map((one) => ({ required: true, need: {}, ...one })))(
      method,
      path,
    );
    const also = route?.also?.length > 0 && { also: route.also };
    return route && { required: route.required, ...route.need, ...also };
  };
  const admin = { path: "/admin/*", need: { roles: "admin", anyScopes: ["a", "b"], maxAge: 60 } };
  const of = (need, path = "/*") => [admin, { path, required: false, need }];
  const all = { required: true, roles: ["admin"], anyScopes: ["a", "b"], maxAge: 60 };
  assert.deepEqual(find(of({}), "GET", "/admin"), all);
  assert.deepEqual(find(of({ maxAge: 30, roles: ["x", "admin"] }), "GET", "/ADMIN/x"), {
    ...all,
    ...{ maxAge: 30, roles: ["x", "admin"] },
  });
  assert.deepEqual(find(of({ anyScopes: ["b", "c"] }), "GET", "/Admin/x"), {
    ...all,
    anyScopes: ["b", "c"],
    also: [["anyScopes", ["a", "b"]]],
  });
  // Where one list holds the other, what is in the shorter is enough for both.
  const shorter = { ...all, anyScopes: ["b"] };
  assert.deepEqual(find(of({ anyScopes: "b" }), "GET", "/Admin/x"), shorter);
  assert.deepEqual(find(of({ anyScopes: ["c", "b", "a"] }), "GET", "/Admin/x"), all);
  // What fits no route as it is written is refused, and so is what fits none without its parameters.
  assert.equal(find([admin], "GET", "/admin"), undefined);
  assert.equal(find([admin], "GET", "/ADMIN/x"), undefined);
  assert.equal(find([{ path: "/x/*.png" }], "GET", "/x/secret;.png"), undefined);
  assert.deepEqual(find([{ path: "/x" }], "GET", "/x"), { required: true });
  assert.equal(find([{ path: "/x" }], "GET", "/x/"), undefined);
  assert.equal(find([{ path: "/x", methods: ["GET"] }], "HEAD", "/x"), undefined);
  // A list of things and the things in it.
  assert.deepEqual(find(of({}, "/admin"), "GET", "/admin"), { required: false });
  assert.deepEqual(find([...of({}, "/admin"), { path: "/*" }], "GET", "/Admin").roles, ["admin"]);
  // Patterns with capital letters are for paths with capital letters.
  const users = [{ path: "/Users/*", need: { scopes: "users" } }, { path: "/*" }];
  assert.deepEqual(find(users, "GET", "/Users/1"), { required: true, scopes: "users" });
  assert.deepEqual(find(users, "GET", "/users/1"), { required: true, scopes: ["users"] });
  // Letters that some servers take for others, and what some take for the begin of a query.
  const open = of({});
  for (const path of ["/adm\u0130n/x", "/adm\u0131n/x", "/admin/x?y", "/Admin/x#y", "/admin/#"]) {
    assert.deepEqual([find(open, "GET", path)?.roles].flat(), ["admin"], path);
  }
  assert.deepEqual(find([{ path: "/tags/*" }], "GET", "/tags/C#"), { required: true });
});

test("a provider that answers with another protocol, once, is asked again", async (t) => {
  const { makeSender } = await load("server/send.js");
  let isOdd = true;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.end(
        isOdd
          ? "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
          : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
      ),
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const sender = makeSender();
  t.after(() => {
    sender.close();
    server.close();
  });
  const url = `http://127.0.0.1:${server.address().port}/`;
  await assert.rejects(sender.fetch(url), TypeError);
  isOdd = false;
  assert.equal((await sender.fetch(url)).status, 200);
  // Whoever gives up hears of it at once.
  const gone = new AbortController();
  const asked = sender.fetch(url, { signal: gone.signal });
  gone.abort();
  await assert.rejects(asked, TypeError);
});

test(
  "who closes a sender ends what is under way, and nothing is asked again or afterwards",
  { timeout: 20_000 },
  async (t) => {
    const { makeSender } = await load("server/send.js");
    const sockets = new Set();
    let asked = 0;
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("data", () => {
        if (++asked === 1) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // Nobody may wait for it: it is asked once more over a connection of its own.
        if (asked === 2) socket.destroy();
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const sender = makeSender();
    t.after(() => {
      sender.close();
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const url = `http://127.0.0.1:${server.address().port}/`;
    assert.equal((await sender.fetch(url)).status, 200);
    const again = sender.fetch(url);
    again.catch(() => {});
    while (asked < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    sender.close();
    await assert.rejects(again, TypeError);
    await assert.rejects(sender.fetch(url), TypeError);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(asked, 3);
  },
);

/** How often something looks into a text: whatever compares with it can do so in no other way. */
function counted(text) {
  let looks = 0;
  const look =
    (name) =>
    (...args) => (looks++, text[name](...args));
  const names = ["startsWith", "endsWith", "indexOf"].map((name) => [name, look(name)]);
  return { ...Object.fromEntries(names), length: text.length, looks: () => looks };
}

test("however long a path is, a pattern looks into it a few times for each of its stars", async () => {
  const { pathMatcher } = await load("cli/pattern.js");
  for (const [pattern, path] of [
    ["/api/**/x", `/api/${"a".repeat(30_000)}`],
    ["/**/admin", `/${"a".repeat(30_000)}`],
    ["/files/*-*.json", `/files/${"-".repeat(30_000)}`],
    ["/files/*-*-*.json", `/files/${"-".repeat(4000)}`],
    ["/v*/*_*/x", `/v1/${"_".repeat(30_000)}`],
    ["/*a*a*a*a*b", `/${"a".repeat(30_000)}`],
  ]) {
    const text = counted(path);
    assert.equal(pathMatcher(pattern)(text), false, pattern);
    const most = 4 * pattern.split("*").length;
    assert.ok(text.looks() > 0 && text.looks() <= most, `${pattern}: ${text.looks()}`);
  }
});

test("a star is something in a segment, and anything at the end", async () => {
  const { pathMatcher } = await load("cli/pattern.js");
  // The same in the words of an expression.
  const expression = (pattern) => {
    const source = pattern.replace(/\*$/, "?").replaceAll("*", "[^/]+").replace("?", ".*");
    return new RegExp(`^${source}$`, "s");
  };
  /** All texts of so many of these letters behind a slash. */
  const texts = (letters, most) => {
    const all = ["/"];
    for (const text of all) {
      if (text.length <= most) for (const letter of letters) all.push(text + letter);
    }
    return all;
  };
  const paths = texts(["a", "b", "/"], 6);
  let fits = 0;
  for (const pattern of texts(["a", "*", "/"], 5)) {
    const [matches, wanted] = [pathMatcher(pattern), expression(pattern)];
    for (const path of paths) {
      const isWanted = wanted.test(path);
      if (isWanted) fits++;
      if (matches(path) !== isWanted) assert.fail(`${pattern} and ${path}: not ${isWanted}`);
    }
  }
  assert.ok(fits > 1000, String(fits));
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

/** Two states of a file, of different lengths, by which half of one can be told. */
const STATES = ["short", "long".repeat(50_000)].map((access_token) =>
  JSON.stringify({ access_token, end: true }),
);

/** A process that writes the two in turn; it says when it has begun. */
async function startWriter(t, path, times) {
  const [file, settings] = [join(project, "writer.mjs"), join(project, "writer.json")];
  writeFileSync(
    file,
    `import { readFileSync } from "node:fs";
    import { openVault } from "./node_modules/gatepass/dist/cli/vault.js";
    const { times, states, ...given } = JSON.parse(readFileSync(${JSON.stringify(settings)}, "utf8"));
    const vault = await openVault({ text: (name) => given[name] });
    vault.write(states[0]);
    process.stdout.write("begun");
    for (let turn = 1; times === null || turn < times; turn++) vault.write(states[turn % 2]);`,
  );
  writeFileSync(
    settings,
    JSON.stringify({ store: "file", storePath: path, times, states: STATES }),
  );
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return { child, ended };
}

const openFile = async (path) => {
  const { openVault } = await load("cli/vault.js");
  const settings = { store: "file", storePath: path };
  return openVault({ text: (name) => settings[name] });
};

test("S2-14 S0-15 who reads the tokens while another process writes them sees all of one state", async (t) => {
  const path = join(makeFolder("vault"), "tokens.json");
  const vault = await openFile(path);
  const { child, ended } = await startWriter(t, path, 300);
  const seen = new Set();
  let reads = 0;
  while (child.exitCode === null) {
    const text = vault.read();
    assert.equal(JSON.parse(text).end, true);
    seen.add(STATES.indexOf(text));
    // The end of the writer is told between two reads.
    if (++reads % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual([...seen].sort(), [0, 1]);
  assert.deepEqual(readdirSync(join(path, "..")), ["tokens.json"]);
});

test("S2-14 S0-15 a process that is killed while it writes leaves the tokens whole, and the next one writes on", async (t) => {
  const path = join(makeFolder("vault"), "tokens.json");
  for (let round = 0; round < 12; round++) {
    const { child, ended } = await startWriter(t, path, null);
    await new Promise((resolve) => setTimeout(resolve, round * 3));
    child.kill("SIGKILL");
    assert.deepEqual(await ended, [null, "SIGKILL"]);
    assert.ok(STATES.includes(readFileSync(path, "utf8")), `round ${round}`);
    const vault = await openFile(path);
    assert.ok(STATES.includes(vault.read()));
    vault.write(STATES[0]);
    assert.equal(vault.read(), STATES[0]);
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
