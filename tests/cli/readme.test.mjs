// The README's commands and settings for the service, as they stand there.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { installProgram } from "../support/program.mjs";

const README = readFileSync(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8");

/** The block under `<!-- test: cli-name -->`. */
function block(name) {
  const [, text] =
    new RegExp(`<!-- test: cli-${name} -->\n\n\`\`\`\\w+\n([^]*?)\`\`\``).exec(README) ?? [];
  assert.ok(text, `README has no block ${name}`);
  return text;
}

let gatepass;
before(() => {
  gatepass = installProgram("cli-readme");
  writeFileSync(join(gatepass.project, "oauth"), "s3cret\n");
});

/** Variables and arguments of a shell block, with the secret of the test's machine. */
function read(name) {
  const text = block(name).replaceAll("\\\n", " ").replaceAll("/run/secrets", gatepass.project);
  const env = {};
  for (const [, key, value] of text.matchAll(/^export (\w+)="([^"]*)"/gm)) env[key] = value;
  const [, command] = /^npx gatepass (.*)$/m.exec(text);
  return { env, args: command.split(/\s+/) };
}

for (const name of ["serve", "proxy"]) {
  test(`the block ${name} starts as it stands there`, async (t) => {
    const { env, args } = read(name);
    assert.equal(args.shift(), "serve");
    const { origin } = await gatepass.serve(t, args, { env });
    assert.equal((await fetch(`${origin}/health`)).status, 200);
  });
}

test("the block routes is a good configuration", async () => {
  const config = join(gatepass.project, "routes.json");
  writeFileSync(config, block("routes").replaceAll("/run/secrets", gatepass.project));
  const { code, stderr } = await gatepass.run(["serve", "--config-test", "--config", config]);
  assert.equal(code, 0, stderr);
});
