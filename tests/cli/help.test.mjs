// The help texts, letter by letter. After a change that is meant:
//   GOLDEN=write node --test tests/cli/help.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";

import { assertGolden } from "../support/golden.mjs";
import { installProgram } from "../support/program.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-help");
});

test("S1-25 gatepass help lists the commands, and each has a help of its own", async () => {
  const { code, stdout } = await gatepass.run(["help"]);
  assert.equal(code, 0);
  assertGolden("help", stdout);
  const section = stdout.slice(
    stdout.indexOf("Commands:"),
    stdout.indexOf("gatepass help COMMAND"),
  );
  const names = [...section.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name);
  assert.ok(names.includes("serve"));
  for (const name of names) {
    const help = await gatepass.run(["help", name]);
    assert.equal(help.code, 0);
    assertGolden(`help-${name}`, help.stdout);
  }
});

test("help is found in every usual way", async () => {
  const { stdout } = await gatepass.run(["help"]);
  assert.equal((await gatepass.run([])).stdout, stdout);
  assert.equal((await gatepass.run(["--help"])).stdout, stdout);
  const serve = await gatepass.run(["serve", "--help"]);
  assert.equal((await gatepass.run(["serve", "-h"])).stdout, serve.stdout);
  const request = await gatepass.run(["help", "request"]);
  for (const args of [
    ["--json", "-h"],
    ["here", "--help"],
    ["--nonsense", "-h"],
    ["-h", "--json"],
  ]) {
    const { code, stdout, stderr } = await gatepass.run(["request", ...args]);
    assert.deepEqual([code, stdout, stderr], [0, request.stdout, ""], args.join(" "));
  }
  // Behind -- they are the program's.
  const script = "console.log(process.argv.slice(1).join(' '))";
  const behind = await gatepass.run(
    ["exec", "--", process.execPath, "-e", script, "--", "-h", "--help"],
    {
      env: { GATEPASS_ACCESS_TOKEN: "own.token" },
    },
  );
  assert.deepEqual([behind.code, behind.stdout], [0, "-h --help\n"]);
  assert.equal(serve.stdout, (await gatepass.run(["help", "serve"])).stdout);
  const nothing = await gatepass.run(["help", "nothing"]);
  assert.deepEqual([nothing.code, nothing.stdout], [2, ""]);
  assert.match(nothing.stderr, /There is no command "nothing"/);
  const { version } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  assert.equal((await gatepass.run(["--version"])).stdout, `${version}\n`);
});
