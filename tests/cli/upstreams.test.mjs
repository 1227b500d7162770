// The service before real servers, each with a reading of HTTP of its own: what was judged arrives, as one
// request, and nothing else does.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";

import { makeFolder } from "../support/folder.mjs";
import { testFile } from "../support/installed.mjs";
import { lacks } from "../support/needed.mjs";
import { freePort } from "../support/port.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";
import { besidePython, lacksBesidePython } from "../support/python.mjs";
import { until } from "../support/until.mjs";
import { listenRaw, sendRaw, statuses } from "../support/upstream.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-upstreams");
});

const AUDIENCE = "https://api.example";
const FOLDER = testFile("cli/upstreams");
/** What one that says too much adds to an answer: another one. */
const FAKE = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake";

/** A server of a program that notes in a file what came to it; the test's end ends it. */
async function startTelling(t, program, args, cwd = FOLDER) {
  const folder = makeFolder("upstream");
  const port = await freePort();
  const file = join(folder, "told");
  const env = { PATH: process.env["PATH"], HOME: folder, TOLD: file, PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn(program, args(port), { cwd, env, stdio: "ignore" });
  t.after(() => child.kill());
  const origin = `http://127.0.0.1:${port}`;
  await until(`${program} answers`, async () => (await fetch(origin)).ok);
  return { origin, file };
}

/** Those whose reading of a path, of a head and of a body is known to differ. */
const UPSTREAMS = [
  {
    name: "Node",
    missing: () => false,
    async start(t) {
      const file = join(makeFolder("upstream"), "told");
      const { origin } = await listen(t, async (request, response) => {
        const { method, url: target, headers } = request;
        if (target === "/unread") {
          return response.writeHead(413, { connection: "close" }).end("long");
        }
        const parts = await request
          .setEncoding("latin1")
          .toArray()
          .catch(() => {});
        // It broke off.
        if (!parts) return;
        const body = parts.join("");
        appendFileSync(file, `${JSON.stringify({ method, target, headers, body })}\n`);
        const { pathname } = new URL(target, "http://x");
        response.end(decodeURIComponent(pathname).startsWith("/admin/") ? "SECRET" : "told");
      });
      return { origin, file };
    },
  },
  {
    name: "gunicorn",
    missing: () => lacksBesidePython("gunicorn"),
    start: (t) =>
      startTelling(t, besidePython("gunicorn"), (port) => [
        ...["--bind", `127.0.0.1:${port}`, "--worker-class", "gthread", "--threads", "4"],
        // As loose as it can be.
        ...["--keep-alive", "30", "--header-map", "dangerous", "--no-control-socket", "told:app"],
      ]),
  },
  {
    name: "Python's http.server",
    missing: () => lacksBesidePython("python3"),
    start: (t) => startTelling(t, besidePython("python3"), (port) => ["told.py", String(port)]),
  },
  {
    name: "PHP's own server",
    missing: () => lacks("php"),
    // It reads every body before it asks anybody.
    readsAll: true,
    start: (t) =>
      startTelling(t, "php", (port) => ["-S", `127.0.0.1:${port}`], join(FOLDER, "php")),
  },
];

/** The service before one of them: a token for all under /admin/, and none for the rest. */
async function startBefore(t, upstream) {
  const provider = await startProvider(t);
  const config = join(makeFolder("before"), "config.json");
  const routes = [{ path: "/admin/*" }, { path: "/*", required: false }];
  const rest = { issuer: provider.issuer, audience: AUDIENCE, upstream: upstream.origin };
  writeFileSync(config, JSON.stringify({ ...rest, routes }));
  const service = await gatepass.serve(t, ["--config", config]);
  rmSync(upstream.file, { force: true });
  /** What came to the upstream since the last time, with names as HTTP has them and not CGI. */
  const told = () => {
    if (!existsSync(upstream.file)) return [];
    const lines = readFileSync(upstream.file, "utf8").trim().split("\n");
    rmSync(upstream.file);
    return lines.map((line) => {
      const { headers, ...rest } = JSON.parse(line);
      const plain = (name) =>
        name
          .toLowerCase()
          .replace(/^http_/u, "")
          .replaceAll("_", "-");
      const named = Object.entries(headers).map(([name, value]) => [plain(name), value]);
      return { ...rest, headers: Object.fromEntries(named) };
    });
  };
  const authorization = `Authorization: Bearer ${await provider.accessToken()}\r\n`;
  return { ...service, told, authorization };
}

/** One that nobody may ask for, inside another. */
const INNER = "GET /admin/inner HTTP/1.1\r\nHost: h\r\n\r\n";
const CHUNKED = "Transfer-Encoding: chunked\r\n";
const LENGTH = `Content-Length: ${INNER.length}\r\n`;
const HEX = INNER.length.toString(16);

/** Heads and bodies, and the body that arrives; nothing where no request may. */
const FRAMINGS = [
  ["a length", `${LENGTH}\r\n${INNER}`, INNER],
  ["a length with zeros", `Content-Length: 0000${INNER.length}\r\n\r\n${INNER}`, INNER],
  ["chunks", `${CHUNKED}\r\n${HEX}\r\n${INNER}\r\n0\r\n\r\n`, INNER],
  [
    "chunks behind a tab",
    `Transfer-Encoding:\tchunked\r\n\r\n${HEX}\r\n${INNER}\r\n0\r\n\r\n`,
    INNER,
  ],
  ["an extension of a chunk", `${CHUNKED}\r\n${HEX};a=b\r\n${INNER}\r\n0\r\n\r\n`, INNER],
  [
    "what follows the chunks",
    `${CHUNKED}Trailer: X-Auth-Subject\r\n\r\n${HEX}\r\n${INNER}\r\n0\r\nX-Auth-Subject: spoofed\r\n\r\n`,
    INNER,
  ],
  ["a length behind the chunks", `${CHUNKED}\r\n0\r\n${LENGTH}\r\n${INNER}`],
  ["nothing, and one behind it", `\r\n${INNER}`, ""],
  ["an empty body, and one behind it", `${CHUNKED}\r\n0\r\n\r\n${INNER}`, ""],
  ["Content_Length", `Content_Length: ${INNER.length}\r\n\r\n${INNER}`, ""],
  ["two hosts", `Host: spoofed\r\n\r\n`],
  ["length and chunks", `Content-Length: 4\r\n${CHUNKED}\r\n0\r\n\r\n${INNER}`],
  ["chunks and length", `${CHUNKED}${LENGTH}\r\n0\r\n\r\n${INNER}`],
  ["another coding", `Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${INNER}`],
  ["chunked, identity", `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${INNER}`],
  ["two codings", `${CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n${INNER}`],
  ["a space before the colon", `Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${INNER}`],
  ["an odd space", `Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${INNER}`],
  ["a folded coding", `Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${INNER}`],
  ["no coding and a length", `Transfer-Encoding: \r\nContent-Length: 5\r\n\r\nhello${INNER}`],
  ["two lengths", `Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`],
  ["a list of lengths", `Content-Length: 5, 5\r\n\r\nhello`],
  ["a sign", `Content-Length: +5\r\n\r\nhello`],
  ["no number", `Content-Length: \r\n\r\n${INNER}`],
  ["two numbers", `Content-Length: 5 5\r\n\r\nhello`],
  ["hexadecimal", `Content-Length: 0x5\r\n\r\nhello`],
  ["more than 64 bits", `Content-Length: 18446744073709551621\r\n\r\nhello`],
  ["an odd space behind the name", `Content-Length\xa0: 5\r\n\r\n${INNER}`],
  ["a chunk that ends with LF", `${CHUNKED}\r\n5\nhello\n0\n\n${INNER}`],
  ["a chunk that ends with CR", `${CHUNKED}\r\n5\rXhello\r\n0\r\n\r\n${INNER}`],
  ["a chunk of 0x5", `${CHUNKED}\r\n0x5\r\nhello\r\n0\r\n\r\n${INNER}`],
  ["a chunk beyond 64 bits", `${CHUNKED}\r\n10000000000000005\r\nhello\r\n0\r\n\r\n${INNER}`],
  [
    "a Connection that takes its length away",
    `Connection: content-length\r\n${LENGTH}\r\n${INNER}`,
  ],
  ["two of them", `Connection: close\r\nConnection: content-length\r\n${LENGTH}\r\n${INNER}`],
  ["CR in a value", `X: a\rX-Auth-Subject: spoofed\r\n\r\n`],
  ["NUL in a value", `X: a\x00b\r\n\r\n`],
  ["a folded value", `X: a\r\n X-Auth-Subject: spoofed\r\n\r\n`],
  ["a space in a name", `X-Auth-Subject : spoofed\r\n\r\n`],
  ["a space before a name", ` X-Auth-Subject: spoofed\r\n\r\n`],
];
/** With wishes for other protocols they are read once more. */
const WISH = "Connection: Upgrade\r\nUpgrade: h2c\r\n";

/** What only the service says, or another proxy, under the names that a server may take for theirs. */
const SPOOFED = [
  ...["X-Auth-Subject", "X-Auth-Roles", "X_Auth_Subject", "X-Auth_Roles", "X.Auth.Subject"],
  ...["SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "REMOTE_ADDR", "X-Script-Name", "Remote-User"],
  ...["Forwarded", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Prefix", "X-Real-IP"],
  ...["True-Client-IP", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "Proxy"],
];

/** Paths that some server reads as one of /admin/. None of these may. */
const LOOSE = [
  ...["/admin/secret.php", "/%61dmin/secret.php", "/%2561dmin/secret.php", "//admin/secret.php"],
  ...["/./admin/secret.php", "/x/../admin/secret.php", "/x/.%2e/admin/secret.php"],
  ...["/x/%2e%2e/admin/secret.php", "/x/%252e%252e/admin/secret.php", "/admin%2fsecret.php"],
  ...["/x%2f..%2fadmin/secret.php", "/x/..;/admin/secret.php", "/x/..%3b/admin/secret.php"],
  ...["/admin\\secret.php", "/admin%5csecret.php", "/x/..\\admin/secret.php"],
  ...["/admin/secret.php%00", "/%00/admin/secret.php", "/admin%0a/secret.php"],
  ...["/%c0%afadmin/secret.php", "/%ef%bc%8fadmin/secret.php", "/adm\xc4\xb1n/secret.php"],
  ...["/#/../admin/secret.php", "http://h/admin/secret.php", "admin/secret.php", "*"],
];
/** Targets that arrive as they were: nobody reads them as anything else. */
const PLAIN = [
  ...["/x", "/a%20b", "/caf%c3%a9", "/x?", "/x?a=%2e%2e/%2f..;b&c=/../admin/secret.php"],
  ...["/x?a=//b\\c", "/x?a=%00"],
];

for (const { name, missing, start, readsAll } of UPSTREAMS) {
  test(`${name} gets what was judged, and nothing else`, async (t) => {
    const reason = missing();
    if (reason) return t.skip(reason);
    const service = await startBefore(t, await start(t));
    const { origin, authorization, told } = service;
    const fromAlice = ({ headers }) => assert.equal(headers["x-auth-subject"], "alice");

    await t.test("one request for each, however its end is said", async () => {
      const wished = FRAMINGS.map(([what, framing, ...rest]) => [
        ...[`${what}, h2c`, WISH + framing, ...rest],
      ]);
      const rows = [...FRAMINGS, ...wished].map(([what, framing, body], at) => ({
        ...{ what, framing, body, target: `/admin/${at}` },
        method: at % 2 === 0 ? "POST" : "GET",
      }));
      const answered = await Promise.all(
        rows.map(async ({ what, method, target, framing }) => {
          const line = `${method} ${target} HTTP/1.1\r\nHost: h\r\n`;
          const received = await sendRaw(origin, `${line}${authorization}${framing}`);
          return `${what}: ${statuses(received)[0]}`;
        }),
      );
      const status = ({ body }) => (body === undefined ? "400" : "200");
      assert.deepEqual(
        answered,
        rows.map((row) => `${row.what}: ${status(row)}`),
      );
      const arrived = told();
      for (const one of arrived) {
        fromAlice(one);
        assert.doesNotMatch(JSON.stringify(one.headers), /spoofed/u);
      }
      const inShort = ({ method, target, body }) => `${method} ${target} ${body}`;
      const expected = rows.filter(({ body }) => body !== undefined);
      assert.deepEqual(arrived.map(inShort).sort(), expected.map(inShort).sort());
    });

    await t.test("no name that is not the client's to say", async () => {
      const lines = SPOOFED.map((one) => `${one}: spoofed\r\n`).join("");
      const head = `GET /admin/x HTTP/1.1\r\nHost: h\r\nX-Own: mine\r\n${authorization}`;
      await sendRaw(origin, `${head}${lines}\r\n`);
      const [one] = told();
      fromAlice(one);
      assert.equal(one.headers["x-own"], "mine");
      assert.doesNotMatch(JSON.stringify(one), /spoofed|Bearer/u);
    });

    await t.test("no path that it reads as another one", async () => {
      const ask = (target) => sendRaw(origin, `GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`);
      for (const received of await Promise.all(LOOSE.map(ask))) {
        assert.doesNotMatch(received, /SECRET/u);
      }
      told();
      for (const received of await Promise.all(PLAIN.map(ask))) {
        assert.deepEqual(statuses(received), ["200"], received);
      }
      const targets = told().map(({ target }) => target);
      assert.deepEqual(targets.sort(), [...PLAIN].sort());
    });

    await t.test("and answers to each its own", async () => {
      for (let time = 0; time < 10; time++) {
        const head = await sendRaw(
          origin,
          "HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        );
        assert.deepEqual(statuses(head), ["200"]);
        assert.equal(await (await fetch(`${origin}/x`)).text(), "told");
      }
      if (readsAll) return;
      for (let time = 0; time < 10; time++) {
        const request = httpRequest(`${origin}/unread`, { method: "POST", agent: false });
        request.end(Buffer.alloc(4_000_000));
        const [response] = await once(request, "response");
        assert.equal(response.statusCode, 413);
        assert.equal(String(await response.toArray()), "long");
        request.destroy();
      }
    });
    assert.equal((await fetch(`${origin}/health`)).status, 200);
  });
}

/** Whoever hangs up says so: a POST that comes over such a connection could not be sent once more. */
const CLOSE = "Connection: close\r\n";
const HEAD = `HTTP/1.1 200 OK\r\n${CLOSE}`;
const BODY = "Content-Length: 4\r\n\r\ntold";

/** Answers that are none, or more than one, and what is told of them. */
const ODD = [
  ["100 three times", `${"HTTP/1.1 100 C\r\n\r\n".repeat(3)}${HEAD}${BODY}`, "200"],
  ["hints before", `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${HEAD}${BODY}`, "200"],
  ["empty lines before", `\r\n\r\n${HEAD}${BODY}`, "200"],
  ["only 199", "HTTP/1.1 199 X\r\nContent-Length: 0\r\n\r\n", "502"],
  ["999", `HTTP/1.1 999 X\r\n${BODY}`, "502"],
  ["length and chunks", `${HEAD}Content-Length: 5\r\n${CHUNKED}\r\n4\r\ntold\r\n0\r\n\r\n`, "502"],
  ["two lengths", `${HEAD}Content-Length: 5\r\n${BODY}`, "502"],
  [
    "another coding",
    `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n4\r\ntold\r\n0\r\n\r\n`,
    "502",
  ],
  ["nothing", "", "502"],
  ["half a head", "HTTP/1.1 200 O", "502"],
  ["a space in a name", `${HEAD}A B: c\r\n${BODY}`, "502"],
  ["NUL in a value", `${HEAD}A: c\x00d\r\n${BODY}`, "502"],
  ["a head that is too long", `${HEAD}X: ${"a".repeat(60_000)}\r\n${BODY}`, "502"],
  ["a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "502"],
  ["half a body", `${HEAD}Content-Length: 9\r\n\r\ntold`, "200"],
  ["a chunk that is none", `${HEAD}${CHUNKED}\r\n4\r\ntold\r\nzz\r\n`, "200"],
  ["an answer behind it", `${HEAD}${BODY}${FAKE}`, "200"],
  ["a body for 204", `HTTP/1.1 204 N\r\n${CLOSE}\r\n${FAKE}`, "204"],
  ["a body for 304", `HTTP/1.1 304 N\r\n${CLOSE}\r\n${FAKE}`, "304"],
  ["many headers", `${HEAD}${"a: b\r\n".repeat(1500)}${BODY}`, "200"],
  ["a length of its connection", `${HEAD}Connection: content-length\r\n${BODY}`, "200"],
  ["the end of the connection", "HTTP/1.0 200 OK\r\n\r\ntold", "200"],
  ["another protocol", "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "502"],
];

/** Heads without their first lines, and bodies, one of which is not whole. */
const ASKS = [
  ["GET", "\r\n"],
  ["HEAD", "\r\n"],
  ["POST", "Content-Length: 3\r\n\r\nabc"],
  ["POST", "Content-Length: 300\r\n\r\nabc"],
  ["GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"],
];

test("an upstream that answers oddly is one answer or 502, and the service goes on and ends", async (t) => {
  const { origin: upstream, held } = await listenRaw(t, (socket) => {
    socket.once("data", (data) => {
      const [, at] = / \/(\d+) /u.exec(String(data));
      socket.end(ODD[at][1], "latin1");
    });
  });
  const service = await gatepass.serve(t, ["--mode", "none", "--upstream", upstream]);
  const answered = await Promise.all(
    ODD.flatMap(([what], at) =>
      ASKS.map(async ([method, rest]) => {
        const head = `${method} /${at} HTTP/1.1\r\nHost: h\r\n`;
        const received = await sendRaw(service.origin, `${head}${rest}`);
        assert.doesNotMatch(received, /fake/u, what);
        return `${what}, ${method}: ${statuses(received)}`;
      }),
    ),
  );
  assert.deepEqual(
    answered,
    ODD.flatMap(([what, , status]) => ASKS.map(([method]) => `${what}, ${method}: ${status}`)),
  );
  await until("nothing is left open", () => held.size === 0);
  service.child.kill("SIGTERM");
  assert.equal(await service.exited, 0);
  assert.doesNotMatch(service.output(), /ERROR/u);
});
