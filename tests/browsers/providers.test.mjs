// Sign-ins in Chromium at real providers in Python, with their own login pages. They run where Python
// has them: `pip install "canaille[front,oidc,server]"` and `pip install django-oauth-toolkit
// django-cors-headers`, in the Python that PYTHON names.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";
import { serveSite } from "../support/site.mjs";
import { until } from "../support/webdriver.mjs";

const python = process.env["PYTHON"] ?? "python3";

/** Why a provider cannot run here; `false` when it can. */
function missing(...modules) {
  for (const module of modules) {
    const tried = spawnSync(python, ["-c", `import ${module}`], { stdio: "ignore" });
    if (tried.error) return `not installed: ${python}`;
    if (tried.status !== 0) return `not installed: the Python module ${module}`;
  }
  return false;
}

let project;
let browser;
before(async () => {
  ({ project } = installPackage("providers"));
  browser = await launch();
});
after(() => browser?.close());

/** A provider, and a page at the beginning of its sign-in. */
async function open(t, script, path, more = {}) {
  const ports = createServer();
  await new Promise((resolve) => ports.listen(0, "127.0.0.1", resolve));
  const { port } = ports.address();
  await new Promise((resolve) => ports.close(resolve));
  const issuer = `http://127.0.0.1:${port}${path}`;

  const site = await serveSite(project, async (origin) => {
    const file = fileURLToPath(new URL(`./providers/${script}`, import.meta.url));
    const args = [file, String(port), `${origin}/callback`, `${origin}/`];
    const provider = spawn(python, args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    provider.stderr.on("data", (chunk) => (said = (said + chunk).slice(-4000)));
    t.after(() => provider.kill("SIGKILL"));
    const metadata = `${issuer}/.well-known/openid-configuration`;
    await until(`${script} answers`, () => {
      assert.equal(provider.exitCode, null, said);
      return fetch(metadata).then(({ ok }) => ok);
    });
    return {
      issuer,
      clientId: "page",
      redirectUri: `${origin}/callback`,
      postLogoutRedirectUri: `${origin}/`,
      dangerouslyAllowHttpLoopback: true,
      ...more,
    };
  });
  t.after(() => site.close());
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${site.origin}/`);
  await page.getByText("Nobody").waitFor();
  await page.click("#in");
  return { page, site };
}

/** The outcome of the last thing that the page did. */
async function outcome(page) {
  await page.waitForFunction(() => {
    const text = document.getElementById("outcome")?.textContent ?? "...";
    return text !== "..." && text !== "";
  });
  return page.textContent("#outcome");
}

/** What both have in common from the callback on. */
async function finish(page, site) {
  const checks = await outcome(page);
  for (const check of ["state", "nonce", "signature RS256", "aud", "auth_time", "at_hash"]) {
    assert.ok(checks.includes(`"${check}"`), `${check}: ${checks}`);
  }
  assert.equal(page.url(), `${site.origin}/callback`);
  assert.match(await page.textContent("#who"), /^Hello ./);
  await page.click("#renew");
  assert.equal(await outcome(page), "ok null");
  await page.click("#out");
  await page.waitForURL((url) => url.pathname !== "/callback");
  await page.goto(`${site.origin}/`);
  await page.getByText("Nobody").waitFor();
}

test(
  "Canaille: sign-in by its own pages, renewal and sign-out",
  { skip: missing("canaille", "joserfc") },
  async (t) => {
    const { page, site } = await open(t, "run_canaille.py", "", { scope: "openid profile" });
    await page.fill("input[name=login]", "alice");
    await page.click("button[type=submit]");
    await page.fill("input[name=password]", "a good password");
    await page.click("button[type=submit]");
    await page.waitForURL(`${site.origin}/callback**`);
    await finish(page, site);
  },
);

test(
  "Django OAuth Toolkit: sign-in by its own pages, renewal and sign-out",
  { skip: missing("oauth2_provider", "corsheaders", "jwcrypto") },
  async (t) => {
    const { page, site } = await open(t, "django_oauth_toolkit.py", "/o");
    await page.fill("input[name=username]", "alice");
    await page.fill("input[name=password]", "a good password");
    await page.click("button");
    await page.click("input[name=allow]");
    await page.waitForURL(`${site.origin}/callback**`);
    await finish(page, site);
  },
);
