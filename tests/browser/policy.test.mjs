// Pages under a Content-Security-Policy in real Chromium: which engine runs, and what is fetched for
// it.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch, serve } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

const PAGE = `<!doctype html><title>page</title><script type="module" src="/app.js"></script>`;
const APP = (entry) => `
  import { createClient, engine } from "${entry}";
  const client = await createClient({
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    scope: "openid read",
  });
  if (location.pathname === "/callback") {
    const { user } = await client.handleCallback();
    window.result = [engine(), user.name, (await client.accessToken()).slice(0, 3)];
  } else {
    await client.signIn();
  }
`;

let browser;
const scripts = {};
before(async () => {
  const { project } = installPackage("policy");
  for (const [name, entry] of [
    ["default", "gatepass"],
    ["translated", "gatepass/js"],
  ]) {
    writeFileSync(join(project, "app.mjs"), APP(entry));
    const { outputFiles } = await build({
      entryPoints: { app: join(project, "app.mjs") },
      outdir: join(project, "out"),
      bundle: true,
      splitting: true,
      format: "esm",
      write: false,
      logLevel: "error",
    });
    scripts[name] = new Map(outputFiles.map(({ path, text }) => [`/${basename(path)}`, text]));
  }
  browser = await launch();
});
after(() => browser?.close());

/** Signs in under a policy: what came of it, which scripts were fetched, what the page complained. */
async function signIn(t, policy, bundle = "default") {
  const provider = await makeProvider();
  const context = await browser.newContext();
  t.after(() => context.close());
  const fetched = new Set();
  await serve(context, {
    origin: "https://app.example",
    html: PAGE,
    headers: { "content-security-policy": policy },
    provider,
    answer(url) {
      const body = scripts[bundle].get(url.pathname);
      if (body === undefined || url.origin !== "https://app.example") return undefined;
      fetched.add(url.pathname);
      return { contentType: "text/javascript", body };
    },
  });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto("https://app.example/");
  await page.click("#back");
  await page.waitForFunction(() => window.result !== undefined);
  return { result: await page.evaluate(() => window.result), fetched, complaints };
}

const isTranslation = (path) => path.includes("fallback");
const BASE = "default-src 'none'; connect-src https://as.example; script-src 'self'";

test("under script-src 'self' the translation runs, a chunk of its own", async (t) => {
  const { result, fetched, complaints } = await signIn(t, BASE);
  assert.deepEqual(result, ["js", "Alice", "eyJ"]);
  assert.equal([...fetched].filter(isTranslation).length, 1);
  // Chromium reports the attempt; whoever minds imports gatepass/js.
  assert.ok(complaints.every((text) => /Content Security Policy/i.test(text)));
});

test("under 'wasm-unsafe-eval' WebAssembly runs and the translation is not fetched", async (t) => {
  const { result, fetched, complaints } = await signIn(t, `${BASE} 'wasm-unsafe-eval'`);
  assert.deepEqual(result, ["wasm", "Alice", "eyJ"]);
  assert.deepEqual([...fetched].filter(isTranslation), []);
  assert.deepEqual(complaints, []);
});

test("gatepass/js tries no WebAssembly, so nothing is reported", async (t) => {
  const { result, complaints } = await signIn(t, BASE, "translated");
  assert.deepEqual(result, ["js", "Alice", "eyJ"]);
  assert.deepEqual(complaints, []);
});

test("trusted types do not mind", async (t) => {
  const policy = `${BASE}; require-trusted-types-for 'script'; trusted-types 'none'`;
  const { result } = await signIn(t, policy);
  assert.deepEqual(result, ["js", "Alice", "eyJ"]);
});
