// What a host's fetch does with an answer before the core sees it, over a real connection.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { installPackage } from "../support/installed.mjs";

let project;
let createClient;
let server;
let answer;
before(async () => {
  ({ project } = installPackage("network"));
  const entry = join(project, "node_modules/gatepass/dist/index.js");
  ({ createClient } = await import(pathToFileURL(entry).href));
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
  server?.closeAllConnections();
  server?.close();
});

async function codeOf(behave) {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answer = behave;
  const client = await createClient({
    issuer,
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    dangerouslyAllowHttpLoopback: true,
    timeout: 1,
  });
  const ended = client.signInUrl().then(
    () => "accepted",
    ({ code }) => code,
  );
  return ended.finally(() => client.dispose());
}

test("net_24 an answer is measured as it is inflated, and reading it stops there", async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, " "));
  assert.ok(bomb.length < 128 * 1024);
  const code = await codeOf((_, response) => {
    response.setHeader("content-type", "application/json");
    response.setHeader("content-encoding", "gzip");
    response.end(bomb);
  });
  assert.equal(code, "response_too_large");
});

test("net_25 an answer that drips in has one time for all of it", async () => {
  const timers = [];
  const code = await codeOf((_, response) => {
    response.setHeader("content-type", "application/json");
    timers.push(setInterval(() => response.write(" "), 100));
  });
  timers.forEach(clearInterval);
  assert.equal(code, "upstream_timeout");
});

test("net_16 a redirect is not followed, wherever it leads", async (t) => {
  let elsewhere = 0;
  const other = createServer((_, response) => {
    elsewhere++;
    response.writeHead(200, { "content-type": "application/json" }).end('{"keys":[]}');
  });
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  t.after(() => other.close());
  const away = `http://127.0.0.1:${other.address().port}/jwks`;
  for (const status of [301, 302, 307, 308]) {
    for (const location of ["/elsewhere", away]) {
      let asked = 0;
      const code = await codeOf((request, response) => {
        asked++;
        response.writeHead(status, { location }).end();
        assert.notEqual(request.url, "/elsewhere");
      });
      assert.equal(code, "redirect_refused", `${status} ${location}`);
      assert.ok(asked > 0);
    }
  }
  assert.equal(elsewhere, 0);
});

test("net_26 a connection that breaks is an error that can be tried again", async () => {
  const code = await codeOf((request) => request.socket.destroy());
  assert.equal(code, "upstream_unreachable");
});

test("a body that is too long and cannot be given up is nobody's unhandled rejection", async (t) => {
  const unhandled = [];
  const hear = (thrown) => void unhandled.push(thrown);
  process.on("unhandledRejection", hear);
  t.after(() => process.off("unhandledRejection", hear));
  const body = () =>
    new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
      cancel: () => Promise.reject(new Error("cannot be cancelled")),
    });
  const client = await createClient({
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    fetch: async () => new Response(body()),
  });
  await assert.rejects(client.signInUrl(), { code: "response_too_large" });
  await sleep(20);
  assert.deepEqual(unhandled, []);
  client.dispose();
});

const SLEEPER = `
  import { createClient } from "gatepass";
  const client = await createClient(JSON.parse(process.argv[2]));
  await client.signInUrl().then(() => console.log("accepted"), ({ code }) => console.log(code));
  client.dispose();
`;

test(
  "an answer that came while the machine slept is read, and what is silent afterwards given up",
  { skip: process.platform === "win32" && "Windows stops no process" },
  async () => {
    const issuer = `http://127.0.0.1:${server.address().port}`;
    const file = join(project, "sleeper.mjs");
    writeFileSync(file, SLEEPER);
    const options = {
      issuer,
      clientId: "spa",
      redirectUri: "https://app.example/callback",
      dangerouslyAllowHttpLoopback: true,
      timeout: 1,
    };
    for (const [doesAnswer, expected] of [
      [true, "accepted"],
      [false, "upstream_timeout"],
    ]) {
      const child = spawn(process.execPath, [file, JSON.stringify(options)]);
      let said = "";
      child.stdout.on("data", (text) => (said += text));
      answer = async (_, response) => {
        child.kill("SIGSTOP");
        if (doesAnswer) {
          response.setHeader("content-type", "application/json");
          const endpoints = {
            authorization_endpoint: `${issuer}/a`,
            token_endpoint: `${issuer}/t`,
          };
          response.end(
            JSON.stringify({
              issuer,
              ...endpoints,
              response_types_supported: ["code"],
              code_challenge_methods_supported: ["S256"],
            }),
          );
        }
        await sleep(2500);
        child.kill("SIGCONT");
      };
      await once(child, "close");
      assert.equal(said.trim(), expected);
    }
  },
);
