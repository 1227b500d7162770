// How long a new isolate of workerd takes from its first request to its first verdict: the module is
// loaded, WebAssembly compiled, the guard made, a token checked. Once with keys that are given, and
// once with metadata and keys that a fetch answers at once.
//
// Each isolate is loaded anew by a parent Worker. The watch stands outside, because a Worker's clock
// stands still while it computes; what an isolate costs that checks nothing is taken off. The module
// gets another name in each isolate: V8 shares the code of modules that are the same to the byte, and
// the more isolates share it the longer each takes.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { build } from "esbuild";
import { Log, LogLevel, Miniflare } from "miniflare";

import { makeProvider } from "../tests/support/provider.mjs";
import { median } from "./contest.mjs";

const FIRST = `
  import { createGuard } from "gatepass/guard";
  export default {
    async fetch(request) {
      const { token, issuer, audience, jwks, answers } = await request.json();
      const isGiven = new URL(request.url).searchParams.get("name") === "given";
      const fetch = (url) => Response.json(answers[url]);
      const guard = await createGuard({
        issuer: isGiven ? { issuer, jwks } : issuer,
        audience,
        fetch,
      });
      return new Response((await guard.verify(token)).subject);
    },
  };`;

const EMPTY = `
  export default {
    async fetch(request) {
      const { token } = await request.json();
      return new Response(token.slice(0, 5));
    },
  };`;

const PARENT = `
  export default {
    async fetch(request, env) {
      const asked = new URL(request.url).searchParams;
      const named = (id) => {
        // A custom section "id" behind the eight bytes that begin a module (WebAssembly core
        // specification, sections 5.5.3 and 5.5.17). At the end of it, V8 would compare the module byte by
        // byte with those of before.
        const section = [0, id.length + 3, 2, 0x69, 0x64, ...new TextEncoder().encode(id)];
        const wasm = new Uint8Array(env.WASM);
        const parts = [wasm.subarray(0, 8), new Uint8Array(section), wasm.subarray(8)];
        return new Blob(parts).arrayBuffer();
      };
      const id = asked.get("id");
      const modules =
        asked.get("name") === "empty"
          ? { "main.js": env.EMPTY }
          : { "main.js": env.FIRST, "guard.wasm": { wasm: await named(id) } };
      const worker = env.LOADER.get(id, () => ({
        compatibilityDate: "2026-04-20",
        mainModule: "main.js",
        modules,
      }));
      return worker.getEntrypoint().fetch(request);
    },
  };`;

/** The script of a Worker with the package, and the file of its WebAssembly. */
async function bundle(project) {
  let wasm;
  const { outputFiles } = await build({
    stdin: { contents: FIRST, resolveDir: project },
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    conditions: ["workerd", "worker", "browser"],
    logLevel: "error",
    plugins: [
      {
        name: "wasm",
        setup({ onResolve }) {
          onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) => {
            wasm = join(resolveDir, path.replace("?module", ""));
            return { path: "./guard.wasm", external: true };
          });
        },
      },
    ],
  });
  return { script: outputFiles[0].text, wasm };
}

/**
 * Medians in milliseconds: of an isolate that does nothing, and how much longer one takes to its
 * first verdict, with keys that are given and with keys that it fetches.
 */
export async function coldStart(project, { rounds = 25 } = {}) {
  const { script, wasm } = await bundle(project);
  const provider = await makeProvider();
  const { issuer, audience } = provider;
  const answers = {};
  for (const path of ["/.well-known/openid-configuration", "/jwks"]) {
    answers[issuer + path] = await (await provider.fetch(issuer + path)).json();
  }
  const token = await provider.accessToken();
  const jwks = answers[`${issuer}/jwks`];
  const body = JSON.stringify({ token, issuer, audience, jwks, answers });
  const miniflare = new Miniflare({
    modules: [{ type: "ESModule", path: join(project, "parent.mjs"), contents: PARENT }],
    modulesRoot: "/",
    compatibilityDate: "2026-04-20",
    host: "127.0.0.1",
    cf: false,
    log: new Log(LogLevel.ERROR),
    workerLoaders: { LOADER: {} },
    bindings: { EMPTY, FIRST: script },
    dataBlobBindings: { WASM: wasm },
  });
  try {
    await miniflare.ready;
    const took = { empty: [], given: [], fetched: [] };
    for (let round = 0; round <= rounds; round++) {
      for (const [name, list] of Object.entries(took)) {
        const begun = performance.now();
        const url = `http://parent/?name=${name}&id=${name}-${round}`;
        const answered = await (
          await miniflare.dispatchFetch(url, { method: "POST", body })
        ).text();
        if (name !== "empty" && answered !== "alice") throw new Error(answered);
        // The first ones find nothing warm in workerd itself.
        if (round > 0) list.push(performance.now() - begun);
      }
    }
    const emptyMs = median(took.empty);
    return {
      isolates: rounds,
      emptyMs,
      givenMs: median(took.given) - emptyMs,
      fetchedMs: median(took.fetched) - emptyMs,
      wasmBytes: readFileSync(wasm).length,
    };
  } finally {
    await miniflare.dispose();
  }
}
