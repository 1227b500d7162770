// The projects of the matrix: what each is made of, how it is run, and which entry it has to pick.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

import { build } from "esbuild";
import { chromium } from "playwright-core";

import { freePort } from "../support/port.mjs";
import { PROBE, judge, link, root, run, start } from "./run.mjs";

/**
 * @typedef {object} Project
 * @property {string} name
 * @property {string} [group] whose packages it needs
 * @property {"light" | "heavy"} weight
 * @property {string} entries which entries have to be picked
 * @property {"wasm" | "js"} [engine] `wasm` unless said otherwise
 * @property {string} [configuration] what it needs to be told; nothing unless said otherwise
 * @property {Record<string, string>} [files]
 * @property {(tools: object) => string | undefined | Promise<string | undefined>} [skip] why it cannot run here
 * @property {(context: { folder: string, tools: object, bin: (name: string) => string }) => Promise<{ entries: string, engine: string }>} run
 */

const INLINE = "guard.js index.js";
const EDGE = "guard.edge.js index.edge.js";
const CJS = "cjs/guard.js cjs/index.js";

/** Which came first says nothing. */
const sorted = (judged) => ({ ...judged, entries: judged.entries.split(" ").sort().join(" ") });

/** The last line that a program printed. */
function printed({ code, stdout, output }) {
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (code !== 0) throw new Error(output.slice(-3000));
  return sorted(judge(line));
}

async function must(program, args, options) {
  const ended = await run(program, args, options);
  if (ended.code !== 0) throw new Error(`${args.join(" ")}\n${ended.output.slice(-4000)}`);
  return ended;
}

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** Serves a folder as any static server does, and takes what a probe tells. */
async function serveFolder(folder, headers = {}) {
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    if (pathname === "/__told") {
      let body = "";
      for await (const chunk of request) body += chunk;
      tell(body);
      return response.end();
    }
    try {
      const path = join(folder, normalize(pathname === "/" ? "/index.html" : pathname));
      const bytes = await readFile(path);
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "text/plain", ...headers });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, told, close: () => server.closeAllConnections() ?? server.close() };
}

/** Opens a page in Chromium and waits for what its probe tells. */
async function inChromium({ chromium: path }, url, told) {
  const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(url);
    const answer =
      told ??
      page
        .waitForFunction(() => window.__told, null, { timeout: 60_000 })
        .then((it) => it.jsonValue());
    const late = new Promise((resolve) => setTimeout(resolve, 60_000));
    const text = await Promise.race([answer, late]);
    if (text === undefined) throw new Error(`the page told nothing: ${complaints.join("\n")}`);
    return sorted(judge(text, { isPage: true }));
  } finally {
    await browser.close();
  }
}

/** A page that was built into a folder. */
async function builtPage(folder, tools, headers) {
  const server = await serveFolder(folder, headers);
  try {
    return await inChromium(tools, `${server.origin}/`, server.told);
  } finally {
    server.close();
  }
}

const TELL = `probe().then((text) => fetch("/__told", { method: "POST", body: text }));`;
const MAIN = `import { probe } from "./probe.mjs";\n${TELL}\n`;
const HTML = (script) =>
  `<!doctype html><meta charset="utf-8"><title>page</title><script type="module" src="${script}"></script>`;
const PAGE = { "main.js": MAIN, "index.html": HTML("./main.js") };
const BUILT = { "main.js": MAIN, "dist/index.html": HTML("./main.js") };

/** @returns {Project} a page that a bundler builds into dist/ */
const bundled = (name, files, build, more = {}) => ({
  name,
  group: "bundlers",
  weight: "light",
  entries: INLINE,
  files,
  run: async ({ folder, tools, bin }) => {
    await build({ folder, bin });
    return builtPage(join(folder, "dist"), tools, more.headers);
  },
  ...more,
});

const esbuildArgs = ["main.js", "--bundle", "--format=esm", "--outdir=dist", "--log-level=error"];
const STRICT = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'",
};

/** @returns {Project[]} */
const bundlers = [
  bundled("vite build", PAGE, ({ folder, bin }) => must(bin("vite"), ["build"], { cwd: folder })),
  {
    name: "vite dev",
    group: "bundlers",
    weight: "light",
    entries: INLINE,
    files: {
      "index.html": HTML("./main.js"),
      "main.js": `import { probe } from "./probe.mjs";\nprobe().then((text) => { window.__told = text; });\n`,
    },
    run: async ({ folder, tools, bin }) => {
      const port = await freePort();
      const url = `http://127.0.0.1:${port}/`;
      const args = ["--host", "127.0.0.1", "--port", String(port), "--strictPort"];
      const server = await start(bin("vite"), args, { cwd: folder, url });
      try {
        return await inChromium(tools, url);
      } finally {
        server.stop();
      }
    },
  },
  bundled(
    "webpack 5",
    {
      ...BUILT,
      "build.mjs": `import webpack from "webpack";
        webpack({ mode: "production", entry: "./main.js", output: { filename: "main.js", path: import.meta.dirname + "/dist" } },
          (error, stats) => { if (error || stats.hasErrors()) { console.error(error ?? stats.toString()); process.exit(1); } });`,
    },
    ({ folder }) => must(process.execPath, ["build.mjs"], { cwd: folder }),
  ),
  bundled(
    "rspack",
    {
      ...BUILT,
      "build.mjs": `import { rspack } from "@rspack/core";
        rspack({ mode: "production", entry: "./main.js", output: { filename: "main.js", path: import.meta.dirname + "/dist" } },
          (error, stats) => { if (error || stats.hasErrors()) { console.error(error ?? stats.toString()); process.exit(1); } });`,
    },
    ({ folder }) => must(process.execPath, ["build.mjs"], { cwd: folder }),
  ),
  bundled("rollup", BUILT, ({ folder, bin }) =>
    must(bin("rollup"), ["main.js", "-d", "dist", "-f", "es", "-p", "node-resolve"], {
      cwd: folder,
    }),
  ),
  bundled("esbuild", BUILT, ({ folder, bin }) =>
    must(bin("esbuild"), [...esbuildArgs, "--splitting"], { cwd: folder }),
  ),
  bundled("esbuild, one file", BUILT, ({ folder, bin }) =>
    must(bin("esbuild"), esbuildArgs, { cwd: folder }),
  ),
  bundled(
    "esbuild under script-src 'self'",
    BUILT,
    ({ folder, bin }) => must(bin("esbuild"), [...esbuildArgs, "--splitting"], { cwd: folder }),
    { headers: STRICT, engine: "js" },
  ),
  bundled(
    "vite build under script-src 'self'",
    PAGE,
    ({ folder, bin }) => must(bin("vite"), ["build"], { cwd: folder }),
    { headers: STRICT, engine: "js" },
  ),
  bundled(
    "parcel",
    {
      ...PAGE,
      // It knows `exports` of packages only when it is told so.
      "package.json": JSON.stringify({
        name: "parcel",
        private: true,
        "@parcel/resolver-default": { packageExports: true },
      }),
      "package-lock.json": "{}",
    },
    ({ folder, bin }) =>
      must(bin("parcel"), ["build", "index.html", "--no-cache", "--dist-dir", "dist"], {
        cwd: folder,
      }),
    { configuration: "packageExports" },
  ),
];

/** Scripts that nobody bundles, from a static server. */
const direct = (text) =>
  text
    .replace('"gatepass/guard"', '"/node_modules/gatepass/dist/guard.js"')
    .replace('"gatepass"', '"/node_modules/gatepass/dist/index.js"');

/** @returns {Project} */
const plain = (name, files, more = {}) => ({
  name,
  weight: "light",
  entries: INLINE,
  files: {
    "index.html": HTML("/main.js"),
    "main.js": MAIN,
    "probe.mjs": direct(PROBE("import")),
    ...files,
  },
  run: ({ folder, tools }) => builtPage(folder, tools, more.headers),
  ...more,
});

/** @returns {Project[]} */
const pages = [
  plain("script type=module", {}),
  plain("script type=module under script-src 'self'", {}, { headers: STRICT, engine: "js" }),
  plain("dedicated worker", {
    "main.js": `new Worker("/worker.js", { type: "module" });`,
    "worker.js": MAIN,
  }),
  plain("shared worker", {
    "main.js": `new SharedWorker("/worker.js", { type: "module" });`,
    "worker.js": MAIN,
  }),
  plain("service worker, module", {
    "main.js": `navigator.serviceWorker.register("/worker.js", { type: "module" });`,
    "worker.js": MAIN,
  }),
  {
    ...plain("service worker, classic, bundled", {
      "main.js": `navigator.serviceWorker.register("/out.js");`,
      "worker.js": MAIN,
      "probe.mjs": PROBE("import"),
    }),
    group: "bundlers",
    run: async ({ folder, tools, bin }) => {
      const args = [
        "worker.js",
        "--bundle",
        "--format=iife",
        "--outfile=out.js",
        "--log-level=error",
      ];
      await must(bin("esbuild"), args, { cwd: folder });
      return builtPage(folder, tools);
    },
  },
];

const PRINT = `import { probe } from "./probe.mjs";\nconsole.log(await probe());\n`;
const PRINT_CJS = {
  "probe.cjs": PROBE("require"),
  "main.cjs": `require("./probe.cjs").probe().then(console.log);\n`,
};

/** The example for Hono, asked without and with a token. */
const hono = (name, program, args) => ({
  name,
  group: "runtimes",
  weight: "light",
  entries: "guard.js",
  files: {
    "app.mjs": readFileSync(new URL("../../examples/hono/app.mjs", import.meta.url), "utf8"),
    // Says what came of it, and which entry was picked, in the runtime itself.
    "main.mjs": `import app from "./app.mjs";
import { engine } from "gatepass/guard";
import { makeProvider } from "./provider.mjs";
const provider = await makeProvider();
globalThis.fetch = async (request) => provider.fetch(request.url ?? String(request), {});
const ask = async (token) => {
  const headers = token ? { authorization: "Bearer " + token } : {};
  const answer = await app.fetch(new Request("https://api.example/me", { headers }));
  return [answer.status, await answer.text()];
};
const outcome = [await ask(), await ask(await provider.accessToken())];
console.log(JSON.stringify({ outcome, entries: [...globalThis.__gatepass].join(" "), engine: engine() }));
`,
  },
  run: async ({ folder, bin }) => {
    await link(join(root, "node_modules", "hono"), join(folder, "node_modules", "hono"));
    const env = { ISSUER: "https://as.example", AUDIENCE: "https://api.example" };
    const ended = await must(program(folder), args, { cwd: folder, env });
    const { outcome, ...told } = JSON.parse(ended.stdout.trim().split("\n").at(-1));
    assert.deepEqual(outcome, [
      [401, ""],
      [200, '{"hello":"alice"}'],
    ]);
    return told;
  },
});

/** npm's bun brings its program by an install script, which is not run. */
const BUN = "node_modules/@oven/bun-linux-x64/bin/bun";

/** @returns {Project[]} */
const runtimes = [
  ...["node22", "node24", "node26"].flatMap((name) => [
    {
      name: `${name.replace("node", "Node ")}, import`,
      group: "runtimes",
      weight: "light",
      entries: INLINE,
      files: { "main.mjs": PRINT },
      run: async ({ folder }) =>
        printed(
          await run(join(folder, "node_modules", name, "bin/node"), ["main.mjs"], { cwd: folder }),
        ),
    },
    {
      name: `${name.replace("node", "Node ")}, require`,
      group: "runtimes",
      weight: "light",
      entries: CJS,
      files: PRINT_CJS,
      run: async ({ folder }) =>
        printed(
          await run(join(folder, "node_modules", name, "bin/node"), ["main.cjs"], { cwd: folder }),
        ),
    },
  ]),
  {
    name: `Node ${process.versions.node.split(".")[0]} of this machine, import`,
    weight: "light",
    entries: INLINE,
    files: { "main.mjs": PRINT },
    run: async ({ folder }) => printed(await run(process.execPath, ["main.mjs"], { cwd: folder })),
  },
  {
    name: `Node ${process.versions.node.split(".")[0]} of this machine, require`,
    weight: "light",
    entries: CJS,
    files: PRINT_CJS,
    run: async ({ folder }) => printed(await run(process.execPath, ["main.cjs"], { cwd: folder })),
  },
  {
    name: "esbuild for Node, one file",
    group: "bundlers",
    weight: "light",
    entries: INLINE,
    files: { "main.mjs": PRINT },
    run: async ({ folder, bin }) => {
      const args = [
        "main.mjs",
        "--bundle",
        "--platform=node",
        "--format=esm",
        "--outfile=out/main.mjs",
        "--log-level=error",
      ];
      await must(bin("esbuild"), args, { cwd: folder });
      return printed(await run(process.execPath, ["out/main.mjs"], { cwd: folder }));
    },
  },
  {
    name: "Deno, without permissions",
    group: "runtimes",
    weight: "light",
    entries: INLINE,
    files: { "main.mjs": PRINT },
    run: async ({ folder, bin }) =>
      printed(
        await run(
          bin("deno"),
          ["run", "--no-remote", "--no-prompt", "--node-modules-dir=manual", "main.mjs"],
          {
            cwd: folder,
          },
        ),
      ),
  },
  {
    name: "Bun",
    group: "runtimes",
    weight: "light",
    entries: INLINE,
    files: { "main.mjs": PRINT },
    run: async ({ folder, bin }) =>
      printed(await run(join(folder, BUN), ["main.mjs"], { cwd: folder })),
  },
  hono("Hono in Deno", (folder) => join(folder, "node_modules/.bin/deno"), [
    "run",
    "--allow-env",
    "--no-remote",
    "--no-prompt",
    "--node-modules-dir=manual",
    "main.mjs",
  ]),
  hono("Hono in Bun", (folder) => join(folder, BUN), ["main.mjs"]),
];

const WORKER = `import { probe } from "./probe.mjs";
export default { fetch: async () => new Response(await probe()) };
`;
const WRANGLER = `name = "probe"\nmain = "worker.js"\ncompatibility_date = "2026-04-20"\n`;

/** A server of ours, asked once. */
async function asked(program, args, { cwd, env, url }) {
  const server = await start(program, args, { cwd, env, url });
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(120_000) });
    const text = await answer.text();
    if (!answer.ok)
      throw new Error(`${answer.status} ${text.slice(0, 500)}\n${server.output().slice(-3000)}`);
    return sorted(judge(text));
  } finally {
    server.stop();
  }
}

/** What wrangler or a framework built, in workerd. */
async function inWorkerd(folder, file) {
  const { Log, LogLevel, Miniflare } = await import("miniflare");
  const miniflare = new Miniflare({
    rootPath: folder,
    modulesRoot: folder,
    scriptPath: file,
    modules: true,
    modulesRules: [
      { type: "ESModule", include: ["**/*.js", "**/*.mjs"] },
      { type: "CompiledWasm", include: ["**/*.wasm", "**/*.wasm?module"] },
    ],
    compatibilityDate: "2026-04-20",
    compatibilityFlags: ["nodejs_compat"],
    host: "127.0.0.1",
    cf: false,
    log: new Log(LogLevel.ERROR),
  });
  try {
    const answer = await miniflare.dispatchFetch("http://worker/");
    return sorted(judge(await answer.text()));
  } finally {
    await miniflare.dispose();
  }
}

/** @returns {Project[]} */
const edge = [
  {
    name: "wrangler dev",
    group: "edge",
    weight: "heavy",
    entries: EDGE,
    files: { "worker.js": WORKER, "wrangler.toml": WRANGLER },
    run: async ({ folder, bin }) => {
      const port = await freePort();
      const args = [
        "dev",
        "--local",
        "--ip",
        "127.0.0.1",
        "--port",
        String(port),
        "--inspector-port",
        "0",
        "--show-interactive-dev-session=false",
      ];
      return asked(bin("wrangler"), args, { cwd: folder, url: `http://127.0.0.1:${port}/` });
    },
  },
  {
    name: "wrangler deploy --dry-run, miniflare",
    group: "edge",
    weight: "heavy",
    entries: EDGE,
    files: { "worker.js": WORKER, "wrangler.toml": WRANGLER },
    run: async ({ folder, bin }) => {
      await must(bin("wrangler"), ["deploy", "--dry-run", "--outdir", "out"], { cwd: folder });
      return inWorkerd(join(folder, "out"), "worker.js");
    },
  },
  {
    name: "workerd without its condition",
    group: "bundlers",
    weight: "light",
    entries: INLINE,
    engine: "js",
    files: { "worker.js": WORKER },
    run: async ({ folder, bin }) => {
      const args = [
        "worker.js",
        "--bundle",
        "--format=esm",
        "--outfile=out/worker.js",
        "--log-level=error",
      ];
      await must(bin("esbuild"), args, { cwd: folder });
      return inWorkerd(join(folder, "out"), "worker.js");
    },
  },
  {
    name: "Cloudflare Vite plugin, build",
    group: "edge",
    weight: "heavy",
    entries: EDGE,
    files: {
      "worker.js": WORKER,
      "wrangler.toml": WRANGLER,
      "vite.config.js": `import { cloudflare } from "@cloudflare/vite-plugin";\nexport default { plugins: [cloudflare({ inspectorPort: false })] };\n`,
    },
    run: async ({ folder, bin }) => {
      await must(bin("vite"), ["build"], { cwd: folder });
      return inWorkerd(join(folder, "dist", "probe"), "index.js");
    },
  },
  {
    name: "Cloudflare Vite plugin, dev",
    group: "edge",
    weight: "heavy",
    entries: EDGE,
    files: {
      "worker.js": WORKER,
      "wrangler.toml": WRANGLER,
      "vite.config.js": `import { cloudflare } from "@cloudflare/vite-plugin";\nexport default { plugins: [cloudflare({ inspectorPort: false })] };\n`,
    },
    run: async ({ folder, bin }) => {
      const port = await freePort();
      const args = ["--host", "127.0.0.1", "--port", String(port), "--strictPort"];
      return asked(bin("vite"), args, { cwd: folder, url: `http://127.0.0.1:${port}/` });
    },
  },
  {
    name: "Nitro, node-server",
    group: "edge",
    weight: "heavy",
    entries: INLINE,
    files: nitro(""),
    run: async ({ folder, bin }) => {
      await must(bin("nitropack"), ["build", "--preset", "node-server"], { cwd: folder });
      const port = await freePort();
      const env = { PORT: String(port), HOST: "127.0.0.1" };
      return asked(process.execPath, [".output/server/index.mjs"], {
        cwd: folder,
        env,
        url: `http://127.0.0.1:${port}/`,
      });
    },
  },
  {
    name: "Nitro, cloudflare-module",
    group: "edge",
    weight: "heavy",
    entries: EDGE,
    configuration: "experimental.wasm",
    files: nitro("experimental: { wasm: true },"),
    run: async ({ folder, bin }) => {
      await must(bin("nitropack"), ["build", "--preset", "cloudflare-module"], { cwd: folder });
      return inWorkerd(join(folder, ".output", "server"), "index.mjs");
    },
  },
  {
    name: "Nitro, cloudflare-module, gatepass/js",
    group: "edge",
    weight: "heavy",
    entries: "guard.fallback.js index.fallback.js",
    engine: "js",
    files: {
      ...nitro(""),
      "probe.mjs": PROBE("import")
        .replace('"gatepass"', '"gatepass/js"')
        .replace('"gatepass/guard"', '"gatepass/guard/js"'),
    },
    run: async ({ folder, bin }) => {
      await must(bin("nitropack"), ["build", "--preset", "cloudflare-module"], { cwd: folder });
      return inWorkerd(join(folder, ".output", "server"), "index.mjs");
    },
  },
];

/** @returns {Record<string, string>} */
function nitro(options) {
  return {
    "nitro.config.ts": `export default defineNitroConfig({ ${options} compatibilityDate: "2026-04-20", srcDir: "server" });\n`,
    "server/routes/index.ts": `import { probe } from "../../probe.mjs";\nexport default defineEventHandler(async () => new Response(await probe()));\n`,
  };
}

/**
 * Four projects of one application: each place of Next by itself.
 *
 * @returns {Project[]}
 */
function next(group, version, { bundler, edgeBug }) {
  const flags = { webpack: ["--webpack"], turbopack: ["--turbopack"], default: [] }[bundler];
  const files = {
    "next.config.mjs": `export default { outputFileTracingRoot: import.meta.dirname, ${bundler === "turbopack" ? "turbopack: { root: import.meta.dirname }," : ""} };\n`,
    "app/layout.jsx": `export default function Layout({ children }) { return <html><body>{children}</body></html>; }\n`,
    "app/page.jsx": `"use client";
      import { useEffect } from "react";
      import { probe } from "../probe.mjs";
      export default function Page() { useEffect(() => { probe().then((text) => { window.__told = text; }); }, []); return <p>page</p>; }\n`,
    "app/node/route.js": `import { probe } from "../../probe.mjs";\nexport const dynamic = "force-dynamic";\nexport const GET = async () => new Response(await probe());\n`,
    "app/edge/route.js": `import { probe } from "../../probe.mjs";\nexport const runtime = "edge";\nexport const GET = async () => new Response(await probe());\n`,
    "app/server/page.jsx": `import { probe } from "../../probe.mjs";\nexport const dynamic = "force-dynamic";\nexport default async function Page() { return <pre id="told">{await probe()}</pre>; }\n`,
    "middleware.js": `import { probe } from "./probe.mjs";\nexport async function middleware() { return new Response(await probe()); }\nexport const config = { matcher: "/through" };\n`,
  };
  if (edgeBug) delete files["app/edge/route.js"];
  // One build, asked in five places.
  return [
    ...(edgeBug
      ? [{ name: `Next ${version}, ${bundler}: edge route`, weight: "heavy", skip: () => edgeBug }]
      : []),
    {
      name: `Next ${version}, ${bundler}: ${edgeBug ? "client, server, route, middleware" : "client, server, routes, middleware"}`,
      group,
      weight: "heavy",
      entries: `client ${INLINE}; server ${INLINE}; node ${INLINE}; ${edgeBug ? "" : `edge ${EDGE}; `}middleware ${EDGE}`,
      files,
      run: async ({ folder, tools, bin }) => {
        await must(bin("next"), ["build", ...flags], { cwd: folder });
        const port = await freePort();
        const url = `http://127.0.0.1:${port}`;
        const server = await start(bin("next"), ["start", "-H", "127.0.0.1", "-p", String(port)], {
          cwd: folder,
          url: `${url}/`,
        });
        try {
          const places = {
            client: () => inChromium(tools, `${url}/`),
            server: async () => {
              const html = await (await fetch(`${url}/server`)).text();
              const [, text] = /<pre id="told">(.*?)<\/pre>/s.exec(html) ?? [];
              return sorted(judge(unescapeHtml(text ?? html)));
            },
            node: async () => sorted(judge(await (await fetch(`${url}/node`)).text())),
            ...(edgeBug
              ? {}
              : {
                  edge: async () => sorted(judge(await (await fetch(`${url}/edge`)).text())),
                }),
            middleware: async () => sorted(judge(await (await fetch(`${url}/through`)).text())),
          };
          const entries = [];
          const engines = new Set();
          for (const [place, ask] of Object.entries(places)) {
            const judged = await ask().catch((error) => {
              throw new Error(`${place}: ${error.message}\n${server.output().slice(-1500)}`);
            });
            entries.push(`${place} ${judged.entries}`);
            engines.add(judged.engine);
          }
          return { entries: entries.join("; "), engine: [...engines].join(", ") };
        } finally {
          server.stop();
        }
      },
    },
  ];
}

const unescapeHtml = (text) =>
  text
    .replaceAll("&quot;", '"')
    .replaceAll("&#x27;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");

/** @returns {Project[]} */
const runners = [
  {
    name: "vitest",
    group: "runners",
    weight: "heavy",
    entries: INLINE,
    files: {
      "probe.test.mjs": `import { writeFileSync } from "node:fs";\nimport { test } from "vitest";\nimport { probe } from "./probe.mjs";\ntest("it", async () => writeFileSync("told.json", await probe()), 60_000);\n`,
    },
    run: async ({ folder, bin }) => {
      await must(bin("vitest"), ["run"], { cwd: folder });
      return sorted(judge(await readFile(join(folder, "told.json"), "utf8")));
    },
  },
  {
    name: "jest",
    group: "runners",
    weight: "heavy",
    entries: CJS,
    files: {
      "package.json": JSON.stringify({
        name: "jest",
        private: true,
        jest: { testEnvironment: "node", transform: {}, testMatch: ["**/*.test.js"] },
      }),
      "probe.test.js": `const { writeFileSync } = require("node:fs");
const { probe } = require("./probe.cjs");
test("it", async () => writeFileSync("told.json", await probe()), 60_000);
`,
    },
    run: async ({ folder, bin }) => {
      // jest knows require() only, so what the probe itself is made of becomes that too.
      await build({
        entryPoints: [join(folder, "probe.mjs")],
        outfile: join(folder, "probe.cjs"),
        bundle: true,
        platform: "node",
        format: "cjs",
        external: ["gatepass", "gatepass/guard"],
      });
      await must(bin("jest"), ["--ci"], { cwd: folder });
      return sorted(judge(await readFile(join(folder, "told.json"), "utf8")));
    },
  },
];

/** @returns {Project[]} */
export const projects = [
  ...pages,
  ...bundlers,
  ...runtimes,
  ...edge,
  ...next("next15", "15", { bundler: "default" }),
  ...next("next14", "14", { bundler: "default" }),
  ...next("next16", "16", {
    bundler: "webpack",
    edgeBug: "Next 16.4.6 with webpack builds no edge route at all, also without gatepass",
  }),
  ...next("next16", "16", { bundler: "turbopack" }),
  ...runners,
];
