// The commands that look at a token, and those that use one.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertGolden, showPosted } from "../support/golden.mjs";
import { lacks } from "../support/needed.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-commands");
});

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const AUDIENCE = "https://api.example";
const SECRET = "rs-secret";

const ours = (provider) => ({
  GATEPASS_ISSUER: provider.issuer,
  GATEPASS_AUDIENCE: AUDIENCE,
  GATEPASS_CLIENT_ID: "rs",
  GATEPASS_CLIENT_SECRET: SECRET,
});

test("S4-38 decode shows header and claims with dates, and says loudly that nothing was verified", async () => {
  const token = `${part({ alg: "none" })}.${part({ sub: "alice", exp: 1_700_000_000 })}.x`;
  const { code, stdout, stderr } = await gatepass.run(["decode", token]);
  assert.equal(code, 0);
  assert.match(stdout, /"alg": "none"/);
  assert.match(stdout, /"exp": 1700000000 {2}\/\/ 2023-11-14T22:13:20\.000Z/);
  assert.match(stderr, /^The signature was NOT verified/);
  const json = await gatepass.run(["decode", "-", "--json"], {
    input: `${token}\n`,
  });
  assert.deepEqual(JSON.parse(json.stdout), {
    verified: false,
    header: { alg: "none" },
    claims: { sub: "alice", exp: 1_700_000_000 },
  });
  assert.match(json.stderr, /NOT verified/);
});

test("decode never lets a token write to the terminal", async () => {
  const token = `${part({ alg: "\u001b[31m" })}.${part({ sub: "\u009b31m\u202eecila\u0007" })}.x`;
  const { stdout, stderr } = await gatepass.run(["decode", token]);
  assert.doesNotMatch(stdout + stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  assert.match(stdout, /\\u202e/);
});

test("what is no signed token is said to be none", async () => {
  for (const [token, said] of [
    ["opaque", /no signed token/],
    ["a.b.c", /header cannot be read/],
    [`${part({})}.!.x`, /claims cannot be read/],
    ["a.b.c.d.e", /encrypted/],
  ]) {
    const { code, stderr } = await gatepass.run(["decode", token]);
    assert.equal(code, 1);
    assert.match(stderr, said);
  }
  assert.equal((await gatepass.run(["decode"])).code, 2);
});

test("S4-38 decode --verify checks the signature: 0 for a good token, 5 for a bad one", async (t) => {
  const provider = await startProvider(t);
  const env = ours(provider);
  const token = await provider.accessToken();
  const good = await gatepass.run(["decode", "--verify", "--json", token], {
    env,
  });
  assert.equal(good.code, 0, good.stderr);
  const { verified, claims } = JSON.parse(good.stdout);
  assert.deepEqual([verified, claims.sub], [true, "alice"]);
  const [header, , signature] = token.split(".");
  const forged = [header, part({ ...claims, sub: "root" }), signature].join(".");
  const bad = await gatepass.run(["decode", "--verify", forged], { env });
  assert.equal(bad.code, 5);
  assert.match(bad.stderr, /NOT verified: signature_invalid/);
  const unset = await gatepass.run(["decode", "--verify", token]);
  assert.equal(unset.code, 2);
});

test("S4-37 introspect prints the provider's answer and the verdict", async (t) => {
  const provider = await startProvider(t);
  const env = ours(provider);
  const token = provider.opaqueToken();
  const good = await gatepass.run(["introspect", "--json", token], { env });
  assert.equal(good.code, 0, good.stderr);
  const { accepted, status, response } = JSON.parse(good.stdout);
  assert.deepEqual([accepted, status, response.active, response.sub], [true, 200, true, "alice"]);
  const bad = await gatepass.run(["introspect", "-"], {
    env,
    input: "your-token",
  });
  assert.equal(bad.code, 5);
  assert.match(bad.stdout, /"active": false/);
  assert.match(bad.stderr, /not accepted: token_inactive/);
  const wrong = { ...env, GATEPASS_CLIENT_SECRET: "wrong-secret" };
  const refused = await gatepass.run(["introspect", token], { env: wrong });
  // As `gatepass token` says it of the same secret. Of the token nobody said anything.
  assert.equal(refused.code, 5);
  assert.match(refused.stdout, /invalid_client/);
  assert.match(refused.stderr, /^No verdict on the token: credentials_refused\. /);
  const json = await gatepass.run(["introspect", "--json", token], { env: wrong });
  const { accepted: isAccepted, error } = JSON.parse(json.stdout);
  assert.deepEqual([json.code, isAccepted, error], [5, false, "credentials_refused"]);
  const program = { ...wrong, GATEPASS_FLOW: "client_credentials", GATEPASS_AUDIENCE: "" };
  assert.equal((await gatepass.run(["token"], { env: program })).code, 5);
  // A provider that is away refuses nobody.
  const gone = await listen(t, () => {});
  await new Promise((resolve) => gone.server.close(resolve));
  const away = await gatepass.run(["introspect", token], {
    env: { ...env, GATEPASS_ISSUER: gone.origin },
  });
  assert.equal(away.code, 1);
  assert.match(away.stderr, /^No verdict on the token: upstream_unreachable\. /);
  for (const { stdout, stderr } of [good, bad, refused, json, away]) {
    for (const secret of [token, SECRET, "wrong-secret", "your-token"]) {
      assert.ok(!(stdout + stderr).includes(secret));
    }
  }
});

test("nothing in place of a token is a mistake in use, and nobody is asked about it", async (t) => {
  const provider = await startProvider(t);
  for (const command of ["introspect", "decode"]) {
    for (const [operand, said] of [
      ["-", /^Error: Standard input is empty: there is no token to look at\.\n$/],
      ["", /^Error: The token is empty: there is no token to look at\.\n$/],
    ]) {
      const options = { env: ours(provider), input: "\n" };
      const { code, stdout, stderr } = await gatepass.run([command, operand], options);
      assert.deepEqual([code, stdout], [2, ""], `${command} "${operand}"`);
      assert.match(stderr, said);
    }
  }
  assert.equal(provider.count("/introspect"), 0);
});

test("S1-19 the requests of an introspection, letter by letter", async (t) => {
  const provider = await startProvider(t, {
    answer: (url) =>
      url.endsWith("/introspect")
        ? Response.json({ active: true, aud: AUDIENCE, sub: "alice" })
        : undefined,
  });
  for (const auth of ["client_secret_basic", "client_secret_basic_raw", "client_secret_post"]) {
    const env = { ...ours(provider), GATEPASS_CLIENT_ID: "rs/1", GATEPASS_CLIENT_AUTH: auth };
    const run = await gatepass.run(["introspect", "-"], { env, input: "a-token" });
    assert.equal(run.code, 0, run.stderr);
  }
  assertGolden("wire-introspection", `${showPosted(provider).join("\n\n")}\n`);
});

test("S4-44 doctor names what is reached, masks secrets, and ends with 0 when all is well", async (t) => {
  const provider = await startProvider(t);
  const { code, stdout } = await gatepass.run(["doctor"], {
    env: ours(provider),
  });
  assert.equal(code, 0, stdout);
  for (const line of [
    /ok {3}Node: v\d+/,
    /ok {3}clientId: rs \(GATEPASS_CLIENT_ID\)/,
    /ok {3}clientSecret: \*\*\* \(GATEPASS_CLIENT_SECRET\)/,
    /ok {3}discovery: /,
    /ok {3}clock: \d s (?:ahead of|behind) the provider/,
    /ok {3}keys: 1 keys at /,
    /ok {3}introspection: .* answered with status 200/,
  ]) {
    assert.match(stdout, line);
  }
  assert.ok(!stdout.includes(SECRET));
});

test("S4-44 doctor says what is probably behind each problem", async (t) => {
  const provider = await startProvider(t);
  const env = ours(provider);
  const look = async (changed) => {
    const { code, stdout } = await gatepass.run(["doctor", "--json"], {
      env: { ...env, ...changed },
    });
    const { good, findings } = JSON.parse(stdout);
    assert.equal(good, false);
    return [code, findings.filter((one) => !one.isGood)];
  };
  const [secretCode, [secret]] = await look({
    GATEPASS_CLIENT_SECRET: "wrong",
  });
  assert.equal(secretCode, 1);
  assert.match(secret.cause, /Client id or secret are wrong/);
  const [, [slash]] = await look({ GATEPASS_ISSUER: `${provider.issuer}/` });
  assert.match(
    slash.cause,
    new RegExp(`It says its issuer is "${provider.issuer}"; set exactly that`),
  );
  const gone = await listen(t, () => {});
  await new Promise((resolve) => gone.server.close(resolve));
  const [, [refused]] = await look({ GATEPASS_ISSUER: gone.origin });
  assert.match(refused.cause, /Nothing listens there/);
  const [missingCode, [missing]] = await look({ GATEPASS_AUDIENCE: "" });
  assert.equal(missingCode, 2);
  assert.match(missing.found, /audience .* is not set/);
  const late = await listen(t, (_request, response) => {
    response.sendDate = false;
    response.setHeader("date", new Date(Date.now() - 3_600_000).toUTCString());
    response.end("<html>");
  });
  const [, [clock, page]] = await look({ GATEPASS_ISSUER: late.origin });
  assert.match(clock.found, /^3(?:599|600|601) s ahead of the provider$/);
  assert.match(page.cause, /probably a web page/);
  const [, [, insecure]] = await look({ GATEPASS_ISSUER: "http://as.example" });
  assert.equal(insecure.found, "it is not https");
});

test("S2-03 S2-18 S2-20 a token that one brings oneself is printed alone", async () => {
  const env = { FMCP_OAUTH_ACCESS_TOKEN: "own.token" };
  const { code, stdout, stderr } = await gatepass.run(["token", "--env-prefix", "FMCP_OAUTH_"], {
    env,
  });
  assert.deepEqual([code, stdout, stderr], [0, "own.token\n", ""]);
});

test("S0-07 S2-28 without a token it is Not logged in, with exit code 3", async () => {
  for (const args of [["token"], ["exec", "--", "true"], ["request", "https://api.example"]]) {
    const { code, stdout, stderr } = await gatepass.run(args);
    assert.deepEqual([code, stdout], [3, ""]);
    assert.match(stderr, /^Error: Not logged in\. /);
  }
});

test("what cannot be a token does not reach a header", async () => {
  for (const value of ["two words", "line\nbreak", "tab\t"]) {
    const env = { GATEPASS_ACCESS_TOKEN: value };
    const { code, stderr } = await gatepass.run(["token"], { env });
    assert.equal(code, 2);
    assert.match(stderr, /GATEPASS_ACCESS_TOKEN: that is not a token/);
    assert.ok(!stderr.includes(value));
  }
});

test("exec gives the token to the program alone, and ends as it does", async () => {
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const script = "console.log(process.env.ACCESS_TOKEN, process.argv[1]); process.exit(7)";
  const args = ["exec", "--", process.execPath, "-e", script, "$HOME; true"];
  const { code, stdout } = await gatepass.run(args, { env });
  assert.deepEqual([code, stdout], [7, "own.token $HOME; true\n"], "no shell stands between");
  const other = ["exec", "--variable", "TOKEN", "--", process.execPath, "-p", "process.env.TOKEN"];
  assert.equal((await gatepass.run(other, { env })).stdout, "own.token\n");
  const killed = ["exec", "--", process.execPath, "-e", "process.kill(process.pid, 'SIGTERM')"];
  assert.equal((await gatepass.run(killed, { env })).code, 143);
  assert.equal((await gatepass.run(["exec", "--", "/nonexistent"], { env })).code, 1);
});

/**
 * A program that says each signal that it gets. It ends with 7, half a second after the first, or after
 * so many milliseconds as are wanted.
 */
const COUNTER = `
  const end = () => process.exit(7);
  for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"]) {
    process.on(signal, () => {
      console.log("got", signal);
      setTimeout(end, 500);
    });
  }
  setTimeout(end, Number(process.argv.at(-1)));
  console.log("ready");`;

test("exec hands a signal on to the program, and waits for its end", async (t) => {
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const args = ["exec", "--", process.execPath, "-e", COUNTER, "60000"];
  for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"]) {
    const run = gatepass.start(t, args, { env });
    await run.said(/ready\n/, "stdout");
    run.child.kill(signal);
    const { code, stdout } = await run.exited;
    assert.deepEqual([code, stdout], [7, `ready\ngot ${signal}\n`]);
  }
});

test(
  "on a terminal Ctrl-C reaches the program behind exec from the terminal, and not from exec too",
  { skip: lacks("script", "setsid") },
  async () => {
    const file = join(gatepass.project, "counter.cjs");
    writeFileSync(file, COUNTER);
    const program = [process.execPath, file];
    for (const [key, signal] of [
      ["\u0003", "SIGINT"],
      ["\u001c", "SIGQUIT"],
    ]) {
      for (const [started, got] of [
        [[...program, 60_000], [signal]],
        // In a session of its own, where the terminal's signals do not come.
        [["setsid", ...program, 1500], []],
      ]) {
        const command = [process.execPath, gatepass.program, "exec", "--", ...started].join(" ");
        const child = spawn("script", ["-qec", `exec ${command}`, "/dev/null"], {
          env: { PATH: process.env["PATH"], TERM: "xterm", GATEPASS_ACCESS_TOKEN: "own.token" },
        });
        let text = "";
        child.stdout.on("data", (data) => {
          text += data;
          if (text.endsWith("ready\r\n")) child.stdin.write(key);
        });
        const [code] = await once(child, "close");
        assert.equal(code, 7, text);
        const said = [...text.matchAll(/got (\w+)/g)].map(([, name]) => name);
        assert.deepEqual(said, got);
      }
    }
  },
);

test("the settings are read once, however a token is used: a secret may come from what ends", async (t) => {
  const provider = await startProvider(t, {
    answer: (url) =>
      url.endsWith("/token")
        ? Response.json({ access_token: "t-1", token_type: "Bearer", expires_in: 3600 })
        : undefined,
  });
  const api = await listen(t, (_request, response) => response.end("answer"));
  const env = {
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_FLOW: "client_credentials",
  };
  const counted = join(gatepass.project, "counted");
  const script = `require("fs").appendFileSync(${JSON.stringify(counted)}, "."); console.log("${SECRET}")`;
  const config = join(gatepass.project, "counted.json");
  writeFileSync(
    config,
    JSON.stringify({ clientSecret: { command: [process.execPath, "-e", script] } }),
  );
  const uses = [
    [["token"], [], "t-1\n"],
    [["exec"], ["--", process.execPath, "-p", "process.env.ACCESS_TOKEN"], "t-1\n"],
    [["request"], [api.origin], "answer"],
  ];
  for (const [command, rest, printed] of uses) {
    rmSync(counted, { force: true });
    const args = [...command, "--config", config, ...rest];
    const { code, stdout, stderr } = await gatepass.run(args, { env });
    assert.deepEqual([code, stdout], [0, printed], stderr);
    assert.equal(readFileSync(counted, "utf8"), ".", command[0]);
  }
  const missing = lacks("mkfifo");
  if (missing) return t.skip(missing);
  const pipe = join(gatepass.project, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  for (const [command, rest, printed] of uses) {
    const written = writeFile(pipe, `${SECRET}\n`);
    const args = [...command, "--client-secret-file", pipe, ...rest];
    const { code, stdout, stderr } = await gatepass.run(args, { env });
    assert.deepEqual([code, stdout], [0, printed], stderr);
    await written;
  }
});

test("request sends the token where it is told, and follows no redirect", async (t) => {
  const seen = [];
  const api = await listen(t, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    seen.push([method, url, headers.authorization, Buffer.concat(chunks).toString()]);
    if (url === "/away") return response.writeHead(302, { location: "/stolen" }).end();
    response.writeHead(url === "/no" ? 403 : 200, { "x-kind": "test" }).end("answer");
  });
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const send = (...args) => gatepass.run(["request", ...args], { env });
  const got = await send(`${api.origin}/me`);
  assert.deepEqual([got.code, got.stdout], [0, "answer"]);
  const posted = await send(`${api.origin}/rpc`, "--data", "{}", "--include");
  assert.match(posted.stdout, /^200 OK\n[^]*\nx-kind: test\n\nanswer$/);
  assert.equal((await send(`${api.origin}/no`)).code, 5);
  assert.equal((await send(`${api.origin}/away`)).code, 1);
  const bearer = "Bearer own.token";
  assert.deepEqual(seen, [
    ["GET", "/me", bearer, ""],
    ["POST", "/rpc", bearer, "{}"],
    ["GET", "/no", bearer, ""],
    ["GET", "/away", bearer, ""],
  ]);
  assert.equal((await send("http://api.example/")).code, 2, "never over plain http");
  assert.equal((await send("HTTP://api.example/")).code, 2, "however it is written");
  // Nothing listens there, which is found out by trying.
  const away = await send("HTTPS://127.0.0.1:65535/");
  assert.equal(away.code, 1);
  assert.match(away.stderr, /127\.0\.0\.1:65535 cannot be reached/);
});

test("request shows what a server says of its answer harmless to a terminal, and the body as it came", async (t) => {
  const { origin } = await listen(t, ({ socket }) =>
    socket.end(
      Buffer.from(
        "HTTP/1.1 403 No\u001b]0;title\u0007\r\nx-kind: a\u009b31mb\r\nconnection: close\r\n\r\n\u001b[31m",
        "latin1",
      ),
    ),
  );
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const { code, stdout, stderr } = await gatepass.run(["request", origin, "--include"], { env });
  assert.equal(code, 5, stderr);
  assert.equal(stderr, "The server answered 403 No\\u001b]0;title\\u0007.\n");
  assert.equal(
    stdout,
    "403 No\\u001b]0;title\\u0007\nconnection: close\nx-kind: a\\u009b31mb\n\n\u001b[31m",
  );
});

test("request says what is wrong with its use, before a token is asked for and anything is sent", async (t) => {
  let asked = 0;
  const api = await listen(t, (_request, response) => {
    asked++;
    response.end("answer");
  });
  const { port } = new URL(api.origin);
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  for (const [args, said] of [
    [["--method", "GET", "--data", "x"], /--method GET has no body\. Leave out --data/],
    [["--method", "head", "--data", "x"], /--method HEAD has no body/],
    [["--method", "BAD M"], /--method is not a method of HTTP/],
    [["--method", ""], /--method is not a method of HTTP/],
    [["--method", "TRACE"], /--method TRACE cannot be sent with a token/],
    [["--data", "x", "--content-type", "a\r\nb: c"], /--content-type must be one line/],
    [["--data", "x", "--content-type", "text/ü"], /--content-type must be one line/],
  ]) {
    // Without any token the same is said: the use is looked at first.
    for (const own of [env, {}]) {
      const { code, stdout, stderr } = await gatepass.run(["request", api.origin, ...args], {
        env: own,
      });
      assert.deepEqual([code, stdout], [2, ""], stderr);
      assert.match(stderr, said);
    }
  }
  const named = await gatepass.run(["request", `http://alice:p4ss@127.0.0.1:${port}/`], { env });
  assert.equal(named.code, 2);
  assert.match(named.stderr, /has a user name or a password in it/);
  assert.ok(!named.stderr.includes("p4ss"));
  const mail = await gatepass.run(["request", "http://127.0.0.1:1/"], { env });
  assert.equal(mail.code, 2);
  assert.match(mail.stderr, /127\.0\.0\.1:1: HTTP is not spoken at that port/);
  assert.equal(asked, 0);
  // What HTTP allows goes through.
  const patched = await gatepass.run(
    ["request", api.origin, "--method", "PATCH", "--data", "x", "--content-type", "text/plain"],
    { env },
  );
  assert.deepEqual([patched.code, patched.stdout, asked], [0, "answer", 1]);
});

test("S1-14 request --debug shows method, address, status and duration, and nothing that is secret", async (t) => {
  const api = await listen(t, (_request, response) => {
    response.writeHead(403, { "x-api-key": "answered-key" }).end("answered-body");
  });
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const url = `${api.origin}/me?key=v4lue&flag&x=a=b#fragment`;
  const args = ["request", url, "--data", "sent-body", "--debug"];
  const { code, stdout, stderr } = await gatepass.run(args, { env });
  assert.deepEqual([code, stdout], [5, "answered-body"]);
  const [sent, answered, ...rest] = stderr.trimEnd().split("\n");
  assert.equal(sent, `> POST ${api.origin}/me?key=***&***&x=***`);
  assert.match(answered, /^< 403 Forbidden after \d+ ms$/);
  assert.deepEqual(rest, ["The server answered 403 Forbidden."]);
  for (const secret of ["own.token", "v4lue", "flag", "fragment", "-body", "-key"]) {
    assert.ok(!stderr.includes(secret), secret);
  }
  const gone = await listen(t, () => {});
  await new Promise((resolve) => gone.server.close(resolve));
  const away = await gatepass.run(["request", `${gone.origin}/`, "--debug"], { env });
  assert.equal(away.code, 1);
  assert.match(away.stderr, /^> GET http:[^\n]+\n< no answer after \d+ ms\nError: /);
});

test("DEV-20 exec hands on no variable that a secret came from, whatever it is called", async () => {
  const config = join(gatepass.project, "exec.json");
  const secrets = {
    JOB_SECRET: "by-env",
    API_KEY: "in-a-header",
    OTHER_SECRET: "of-another-server",
    PARAM_KEY: "in-a-parameter",
    HMAC_SECRET: "of-the-guard",
    NONCE_KEY: "of-its-nonces",
    ASKING_TOKEN: "for-introspection",
    SIGNING_KEY: "for-introspection-too",
    REDIS_WITH_PASSWORD: "redis://:p4ss@127.0.0.1",
    GATEPASS_HEADERS: "x-api-key=by-variable",
    GATEPASS_CLIENT_SECRET: "by-its-own-name",
    GATEPASS_ACCESS_TOKEN: "own.token",
    OAUTH_CLIENT_SECRET: "of-a-sidecar",
  };
  const shown = { TENANT: "acme", ISSUER: "https://as.example", LEFT: "${JOB_SECRET}" };
  writeFileSync(
    config,
    JSON.stringify({
      redis: "${REDIS_WITH_PASSWORD}",
      guard: {
        issuer: "${ISSUER}",
        secret: "${HMAC_SECRET}",
        dpopNonce: "${NONCE_KEY}",
        introspection: { bearerToken: "${ASKING_TOKEN}", key: { kty: "EC", d: "${SIGNING_KEY}" } },
      },
      servers: {
        one: {
          issuer: "${ISSUER}",
          tenant: "${TENANT}",
          clientSecret: { env: "JOB_SECRET" },
          headers: { "x-key": "k-${API_KEY}" },
        },
        two: { clientSecret: "${OTHER_SECRET}", params: ["key=${PARAM_KEY}"] },
      },
    }),
  );
  const env = { ...secrets, ...shown, GATEPASS_CLIENT_SECRET_FILE: "" };
  const args = ["exec", "--config", config, "--server", "one", "--"];
  const { code, stdout, stderr } = await gatepass.run(
    [...args, process.execPath, "-p", "JSON.stringify(process.env)"],
    { env },
  );
  assert.equal(code, 0, stderr);
  const handed = JSON.parse(stdout);
  assert.deepEqual(
    Object.keys(secrets).filter((name) => name in handed),
    [],
  );
  assert.equal(handed.ACCESS_TOKEN, "own.token");
  for (const [name, value] of Object.entries(shown)) assert.equal(handed[name], value);
});

test("request --json prints status, headers and body, also of an answer that says no or is no text", async (t) => {
  const api = await listen(t, (request, response) => {
    if (request.url === "/bytes") return response.end(Buffer.from([0xff, 0x00, 0xfe]));
    response.setHeader("set-cookie", ["a=1", "b=2"]);
    response.writeHead(request.url === "/no" ? 403 : 200, { "x-kind": "test" });
    response.end('{"ü": 1}');
  });
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const send = async (path) => {
    const args = ["request", "--json", `${api.origin}${path}`];
    const { code, stdout } = await gatepass.run(args, { env });
    return { code, ...JSON.parse(stdout) };
  };
  const good = await send("/me");
  assert.deepEqual([good.code, good.status, good.body], [0, 200, '{"ü": 1}']);
  assert.equal(good.headers["x-kind"], "test");
  assert.deepEqual(good.headers["set-cookie"], ["a=1", "b=2"]);
  const no = await send("/no");
  assert.deepEqual([no.code, no.status, no.body], [5, 403, '{"ü": 1}']);
  const { body, body_base64 } = await send("/bytes");
  assert.deepEqual([body, body_base64], [undefined, "/wD+"]);
});

test("request gives up an API that is silent for as long as is said, and no stream that goes on", async (t) => {
  const api = await listen(t, (request, response) => {
    if (request.url === "/silent") return;
    response.write("begun ");
    if (request.url === "/stuck") return;
    let times = 0;
    const timer = setInterval(() => {
      response.write(".");
      if (++times < 6) return;
      clearInterval(timer);
      response.end(" done");
    }, 300);
  });
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const send = (path, ...more) =>
    gatepass.run(["request", "--timeout", "1", `${api.origin}${path}`, ...more], { env });
  for (const [path, printed] of [
    ["/silent", ""],
    ["/stuck", "begun "],
  ]) {
    const { code, stdout, stderr } = await send(path);
    assert.deepEqual([code, stdout], [4, printed]);
    assert.match(stderr, /^Error: upstream_timeout: 127\.0\.0\.1:\d+ was silent for 1 seconds/);
  }
  const json = await send("/stuck", "--json");
  const { error, exit_code } = JSON.parse(json.stdout);
  assert.deepEqual([json.code, error, exit_code], [4, "upstream_timeout", 4]);
  const stream = await send("/stream");
  assert.deepEqual([stream.code, stream.stdout], [0, "begun ...... done"]);
});

test("with --json a failure is JSON too, with its exit code and a name", async (t) => {
  const gone = await listen(t, () => {});
  await new Promise((resolve) => gone.server.close(resolve));
  const own = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const incomplete = { GATEPASS_ISSUER: gone.origin, GATEPASS_FLOW: "client_credentials" };
  for (const [args, env, code, error] of [
    [["token"], {}, 3, "login_required"],
    [["login"], {}, 2, "config_invalid"],
    [["token"], incomplete, 2, "config_invalid"],
    [["token"], { ...incomplete, GATEPASS_CLIENT_ID: "x" }, 1, "upstream_unreachable"],
    [["request", `${gone.origin}/`], own, 1, "upstream_unreachable"],
    [["request", "http://api.example/"], own, 2, "config_invalid"],
    [["decode", "opaque"], {}, 1, "failed"],
    [["status", "--nonsense"], {}, 2, "config_invalid"],
    [["serve", "--config", "/nonexistent"], {}, 2, "config_invalid"],
  ]) {
    const run = await gatepass.run([...args, "--json"], { env });
    assert.equal(run.stderr, "", args.join(" "));
    const said = JSON.parse(run.stdout);
    assert.deepEqual([run.code, said.exit_code, said.error], [code, code, error], args.join(" "));
    assert.ok(said.problems.length > 0);
    const plain = await gatepass.run(args, { env });
    const lines = said.problems.map((problem) => `Error: ${problem}\n`).join("");
    assert.deepEqual([plain.code, plain.stdout, plain.stderr], [code, "", lines]);
  }
  const folder = { GATEPASS_CONFIG: "/nonexistent/\u202e.json" };
  const { stdout } = await gatepass.run(["token", "--json"], { env: folder });
  assert.ok(!stdout.includes("\u202e") && JSON.parse(stdout).problems[0].includes("\u202e"));
});

test("exec has no --json of its own: what is printed is the program's", async () => {
  const env = { GATEPASS_ACCESS_TOKEN: "own.token" };
  const refused = await gatepass.run(["exec", "--json", "--", "true"], { env });
  assert.equal(refused.code, 2);
  const script = "console.log(process.argv[1])";
  const args = ["exec", "--", process.execPath, "-e", script, "--", "--json"];
  const { code, stdout } = await gatepass.run(args, { env });
  assert.deepEqual([code, stdout], [0, "--json\n"]);
  assert.doesNotMatch((await gatepass.run(["help", "exec"])).stdout, /--json/);
});

test("what goes wrong is told in words of the command line, with what to do", async (t) => {
  const provider = await startProvider(t);
  const gone = { GATEPASS_ISSUER: "http://127.0.0.1:1", GATEPASS_CLIENT_ID: "x" };
  const program = { GATEPASS_FLOW: "client_credentials", GATEPASS_CLIENT_SECRET: SECRET };
  const far = { ...ours(provider), GATEPASS_ISSUER: "http://login.example.com" };
  for (const [args, env, code, said] of [
    [["--json", "token"], {}, 2, /Flags stand behind the command: gatepass COMMAND \[FLAGS\]/],
    [["request", "here"], {}, 2, /takes one URL, such as https:/],
    [["exec"], {}, 2, /needs a program: gatepass exec -- PROGRAM/],
    [["login", "--timeout", "0"], gone, 2, /whole number of seconds, from 1 to 99999/],
    [["login"], {}, 2, /In place of addresses issuer \(--issuer, GATEPASS_ISSUER\) is enough/],
    [["status", "--store", "file"], program, 3, /No token of the program is kept\. gatepass token/],
    [["token"], { ...gone, ...program }, 1, /cannot be reached; gatepass doctor says why/],
    [["introspect", "a-token"], { ...far, ...gone }, 1, /cannot be reached; gatepass doctor says/],
    [["introspect", "a-token"], far, 2, /must be https; http is for addresses of this machine/],
    [["token"], { ...far, ...program }, 2, /must be https; http is for addresses of this machine/],
  ]) {
    const run = await gatepass.run(args, { env });
    assert.equal(run.code, code, `${args.join(" ")}: ${run.stderr}`);
    assert.match(run.stderr, said);
    // What is said to pages and to programs helps nobody here.
    assert.doesNotMatch(run.stderr, /CORS|connect-src|dangerously/);
  }
});
