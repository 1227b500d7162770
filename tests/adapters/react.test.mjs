// The adapter for React by its example: in Chromium under StrictMode, and rendered on a server.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch, serve } from "../support/browser.mjs";
import { installExample } from "../support/example.mjs";
import { makeProvider } from "../support/provider.mjs";

const NAMES = {
  issuer: "https://login.example.com",
  clientId: "my-page",
  redirectUri: "https://app.example.com/callback",
  audience: "https://api.example.com",
  scope: "openid profile",
};
const PAGE = `<!doctype html><title>page</title><div id="root"></div><script type="module" src="/app.js"></script>`;

/** What the hooks give, within reach of a test. */
const BARE = `
  import { createClient } from "gatepass";
  import { GatepassProvider, useAuth, useFetch } from "gatepass/react";
  import { Activity, StrictMode } from "react";
  import { createRoot } from "react-dom/client";

  window.made = 0;
  window.disposed = 0;
  const make = async () => {
    const made = await createClient({
      issuer: "https://login.example.com",
      clientId: "my-page",
      redirectUri: "https://app.example.com/callback",
    });
    const dispose = made.dispose.bind(made);
    made.dispose = () => (window.disposed++, dispose());
    return made;
  };
  let client = () => {
    window.made++;
    if (location.search === "?broken" && window.made === 1) throw new Error("not yet");
    return make();
  };
  if (location.search === "?given") {
    client = window.given = await make();
    window.heard = 0;
    const on = client.on.bind(client);
    client.on = (...listener) => {
      const stop = on(...listener);
      window.heard++;
      return () => (window.heard--, stop());
    };
  }
  function Page() {
    window.auth = useAuth();
    window.call = useFetch();
    return <p id="status">{window.auth.status}</p>;
  }
  const root = createRoot(document.querySelector("#root"));
  window.show = (isShown, mode = "visible") =>
    root.render(
      <StrictMode>
        {isShown && (
          <Activity mode={mode}>
            <GatepassProvider client={client} isCallback={() => location.pathname === "/callback"}>
              <Page />
            </GatepassProvider>
          </Activity>
        )}
      </StrictMode>,
    );
  window.show(true);
`;

let browser;
let project;
let script;
let bare;
before(async () => {
  project = installExample("react", ["react", "react-dom", "scheduler"]);
  writeFileSync(join(project, "bare.jsx"), BARE);
  const bundle = async (file) => {
    const { outputFiles } = await build({
      entryPoints: [join(project, file)],
      bundle: true,
      format: "esm",
      jsx: "automatic",
      // StrictMode does its double work in development only.
      define: { "process.env.NODE_ENV": '"development"' },
      write: false,
      logLevel: "error",
    });
    return outputFiles[0].text;
  };
  script = await bundle("app.jsx");
  bare = await bundle("bare.jsx");
  browser = await launch();
});
after(() => browser?.close());

async function open(t, { app = script, ...options } = {}) {
  const provider = await makeProvider({ ...NAMES, ...options });
  const context = await browser.newContext();
  t.after(() => context.close());
  await serve(context, {
    origin: "https://app.example.com",
    html: PAGE,
    script: app,
    provider,
    answer(url, request) {
      if (url.origin !== "https://api.example.com") return undefined;
      const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
      if (request.method() === "OPTIONS") return { status: 204, headers };
      const isBearer = /^Bearer ey/.test(request.headers()["authorization"]);
      return { status: isBearer ? 200 : 401, body: "from the API", headers };
    },
  });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  return { provider, page, problems };
}

test("signs in, calls and signs out under StrictMode, with one exchange", async (t) => {
  const { provider, page, problems } = await open(t);
  await page.goto("https://app.example.com/");
  await page.getByText("Sign in").click();
  await page.click("#back");
  await page.getByText("Hello Alice").waitFor();
  assert.equal(page.url(), "https://app.example.com/inbox");
  assert.equal(provider.count("/token"), 1);
  await page.getByText("Call").click();
  await page.getByText("from the API").waitFor();
  await page.getByText("Sign out").click();
  await page.locator("#bye").waitFor();
  assert.deepEqual(problems, []);
});

test("a callback that fails is shown", async (t) => {
  const { page } = await open(t);
  await page.goto("https://app.example.com/callback?error=access_denied&state=unknown");
  await page.getByText("That went wrong: flow_unknown").waitFor();
});

const says = (page, status) => page.locator("#status", { hasText: status }).waitFor();
/** What a call of the page rejects with. */
const failure = (page, work) =>
  page.evaluate(`(${work})().then(() => "none", (error) => error.code ?? error.message)`);

test("a session that the provider ends is over for the hooks", async (t) => {
  let isOver = false;
  const answer = (url) =>
    isOver && url.endsWith("/token")
      ? Response.json({ error: "invalid_grant" }, { status: 400 })
      : undefined;
  const { page } = await open(t, { app: bare, answer });
  await page.goto("https://app.example.com/");
  await says(page, "signedOut");
  await page.evaluate(() => void window.auth.signIn());
  await page.click("#back");
  await says(page, "signedIn");
  isOver = true;
  await failure(page, () => window.auth.client.refresh());
  await says(page, "signedOut");
  assert.equal(await page.evaluate(() => window.auth.user), null);
});

test("after a callback that failed the hooks work on", async (t) => {
  const { page } = await open(t, { app: bare });
  await page.goto("https://app.example.com/callback?error=access_denied&state=unknown");
  await says(page, "failed");
  assert.equal(await failure(page, () => window.call("https://other.example.com/")), "none");
  assert.equal(await failure(page, () => window.auth.signOut()), "none");
  await page.goto("https://app.example.com/callback?error=access_denied&state=unknown");
  await says(page, "failed");
  await page.evaluate(() => void window.auth.signIn());
  await page.click("#back");
  await says(page, "signedIn");
});

test("a client that could not be made is made when it is needed", async (t) => {
  const { page } = await open(t, { app: bare });
  await page.goto("https://app.example.com/?broken");
  await says(page, "failed");
  assert.equal(await page.evaluate(() => window.auth.error.message), "not yet");
  await page.evaluate(() => void window.auth.signIn());
  await page.locator("#back").waitFor();
});

const counts = (page) => page.evaluate(() => [window.made, window.disposed]);
const unmount = async (page) => {
  await page.evaluate(() => window.show(false));
  await page.locator("#status").waitFor({ state: "detached" });
};

test("a client that was made is disposed of after the unmount, and not by StrictMode", async (t) => {
  const { page, problems } = await open(t, { app: bare });
  await page.addInitScript(() => {
    window.channels = 0;
    const { BroadcastChannel } = window;
    window.BroadcastChannel = class extends BroadcastChannel {
      constructor(name) {
        super(name);
        window.channels++;
      }
      close() {
        window.channels--;
        super.close();
      }
    };
  });
  await page.goto("https://app.example.com/");
  await says(page, "signedOut");
  assert.deepEqual(await counts(page), [1, 0]);
  const call = await page.evaluateHandle(() => window.call);
  for (const times of [1, 2, 3]) {
    await unmount(page);
    await page.waitForFunction((all) => window.disposed === all, times);
    assert.equal(await page.evaluate(() => window.channels), 0);
    await page.evaluate(() => window.show(true));
    await says(page, "signedOut");
    assert.deepEqual(await counts(page), [times + 1, times]);
  }
  // A function of a provider that is gone leaves no client behind.
  assert.equal(await call.evaluate((fetch) => fetch("/x").then(({ ok }) => ok)), true);
  await page.waitForFunction(() => window.disposed === 4);
  assert.deepEqual(await counts(page), [5, 4]);
  assert.deepEqual(problems, []);
});

test("a provider that is hidden and shown again makes another client and handles no callback twice", async (t) => {
  const { page } = await open(t, { app: bare });
  await page.goto("https://app.example.com/");
  await says(page, "signedOut");
  await page.evaluate(() => void window.auth.signIn());
  await page.click("#back");
  await says(page, "signedIn");
  await page.evaluate(() => window.show(true, "hidden"));
  await page.waitForFunction(() => window.disposed === 1);
  await page.evaluate(() => window.show(true));
  // The session was in memory.
  await says(page, "signedOut");
  assert.deepEqual(await counts(page), [2, 1]);
});

test("a client that is being made at the unmount is disposed of when it is there", async (t) => {
  const { page } = await open(t, { app: bare });
  await page.goto("https://app.example.com/");
  await says(page, "signedOut");
  await unmount(page);
  await page.evaluate(async () => {
    window.show(true);
    while (window.made < 2) await new Promise((resolve) => setTimeout(resolve));
    window.show(false);
  });
  await page.waitForFunction(() => window.disposed === 2);
  assert.deepEqual(await counts(page), [2, 2]);
});

test("a client of the program's is not disposed of, and nobody listens to it after the unmount", async (t) => {
  const { page } = await open(t, { app: bare });
  await page.goto("https://app.example.com/?given");
  await says(page, "signedOut");
  assert.ok((await page.evaluate(() => window.heard)) > 0);
  await unmount(page);
  await page.waitForFunction(() => window.heard === 0);
  assert.equal(await page.evaluate(() => window.disposed), 0);
  assert.equal(await page.evaluate(() => window.given.state().signedIn), false);
});

test("on a server nothing is begun and everybody is loading", () => {
  const source = `
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    import { GatepassProvider, useAuth } from "gatepass/react";
    let made = 0;
    const Page = () => createElement("p", null, useAuth().status);
    const html = renderToString(
      createElement(GatepassProvider, { client: () => made++ }, createElement(Page)),
    );
    let alone;
    try { renderToString(createElement(Page)); } catch (error) { alone = error.message; }
    console.log(JSON.stringify([html, made, alone]));
  `;
  writeFileSync(join(project, "server.mjs"), source);
  const printed = execFileSync(process.execPath, ["server.mjs"], {
    cwd: project,
    encoding: "utf8",
  });
  assert.deepEqual(JSON.parse(printed), [
    "<p>loading</p>",
    0,
    "There is no GatepassProvider above this component.",
  ]);
});

test("the module says that it is for clients", async () => {
  const { readFileSync } = await import("node:fs");
  for (const file of ["dist/adapters/react.js", "dist/cjs/adapters/react.js"]) {
    const text = readFileSync(join(project, "node_modules/gatepass", file), "utf8");
    assert.match(text, /^"use client";/);
  }
});
