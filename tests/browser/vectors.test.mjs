// Vectors through the shipped wasm with the WebCrypto of Chromium.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";
import { SIGNATURES, compareJson, compareSignatures, obstacle } from "../support/vectors.mjs";

const APP = `
  import { createGuard } from "gatepass/guard";
  import { guardEngine } from "./node_modules/gatepass/dist/load/guard.js";
  const guard = await createGuard({ issuer: "https://as.example", audience: "api" });
  const glue = await guardEngine.ready();
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  window.decide = async (cases) => {
    const answers = [];
    for (const { jwk, alg, message, signature } of cases) {
      answers.push(await glue.checkSignature(jwk, alg, bytes(message), bytes(signature)));
    }
    return answers;
  };
  window.codesOf = async (tokens) => {
    const answers = await Promise.allSettled(tokens.map((token) => guard.verify(token)));
    return answers.map(({ reason }) => reason?.code);
  };
  window.isReady = true;
`;

let browser;
let page;

before(async () => {
  if (obstacle) return;
  const { project } = installPackage("browser-vectors");
  writeFileSync(join(project, "app.mjs"), APP);
  const { outputFiles } = await build({
    entryPoints: [join(project, "app.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  browser = await launch();
  page = await browser.newPage();
  await page.route("**/*", (route) => {
    const isScript = route.request().url().endsWith(".js");
    return isScript
      ? route.fulfill({ contentType: "text/javascript", body: outputFiles[0].text })
      : route.fulfill({
          contentType: "text/html",
          body: `<!doctype html><script type="module" src="/app.js"></script>`,
        });
  });
  await page.goto("https://app.example/");
  await page.waitForFunction(() => window.isReady === true);
});

after(() => browser?.close());

for (const suite of SIGNATURES) {
  const [id, name, alg] = suite;
  test(`${id}_${alg}: ${name}`, { skip: obstacle }, async () => {
    await compareSignatures(suite, (cases) => page.evaluate((list) => window.decide(list), cases));
  });
}

test("jsn_36 JSONTestSuite as claims of a token", { skip: obstacle }, async () => {
  await compareJson((tokens) => page.evaluate((list) => window.codesOf(list), tokens));
});
