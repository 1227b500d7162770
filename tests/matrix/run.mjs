// The package in every bundler and runtime, as users have it: packed, installed into a project and
// run there, with nothing configured for it. `npm run package` is this file with tools/package.mjs
// around it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { installGroup } from "../../tools/lib/projects.mjs";
import { npm } from "../support/installed.mjs";
import { EXPECTED } from "../package/scenario.mjs";

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "..", "..");
const work = join(root, "target", "matrix");

/** A copy of a folder that shares its files' contents: fast, and nothing is downloaded again. */
export async function link(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  const { code } = await run("cp", ["-al", from, to], { cwd: root });
  if (code !== 0) cpSync(from, to, { recursive: true });
}

/** Packs the package once for all projects. */
function pack() {
  const [{ filename }] = JSON.parse(npm(["pack", "--json", "--pack-destination", work], root));
  return join(work, filename);
}

/**
 * A project with the packed tarball installed, and files of its own.
 *
 * @param {string} name
 * @param {object} options
 * @param {string | undefined} options.modules node_modules of its group
 * @param {string} options.tarball
 * @param {Record<string, string>} options.files
 */
async function makeProject(name, { modules, tarball, files }) {
  const project = join(work, name);
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project, { recursive: true });
  if (modules) await link(modules, join(project, "node_modules"));
  const installed = join(project, "node_modules", "gatepass");
  mkdirSync(installed, { recursive: true });
  const { code } = await run("tar", ["xzf", tarball, "--strip-components=1", "-C", installed], {
    cwd: project,
  });
  assert.equal(code, 0);
  markEntries(installed);
  for (const file of ["package/scenario.mjs", "support/provider.mjs"]) {
    cpSync(join(root, "tests", file), join(project, file.replace(/.*\//, "")));
  }
  const all = {
    "package.json": JSON.stringify({ name, private: true, type: "module" }),
    "probe.mjs": PROBE("import"),
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), text);
  }
  return project;
}

/** Each entry leaves its name behind, so that it can be seen which one was picked. */
function markEntries(installed) {
  const { sideEffects } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  for (const entry of sideEffects) {
    const mark = `(globalThis.__gatepass ??= new Set()).add(${JSON.stringify(entry.replace("./dist/", ""))});\n`;
    appendFileSync(join(installed, entry), `\n;${mark}`);
  }
}

/** One sign-in and one guarded API, and what ran. */
export const PROBE = (how) => `${
  how === "require"
    ? `const gatepass = require("gatepass"), guarding = require("gatepass/guard");`
    : `import * as gatepass from "gatepass";\nimport * as guarding from "gatepass/guard";`
}
${how === "require" ? "" : `import { scenario } from "./scenario.mjs";\nimport { makeProvider } from "./provider.mjs";`}
${how === "require" ? "exports.probe = " : "export "}async function probe() {
  ${how === "require" ? `const { scenario } = await import("./scenario.mjs"), { makeProvider } = await import("./provider.mjs");` : ""}
  try {
    const outcome = await scenario(gatepass, guarding, makeProvider);
    const entries = [...globalThis.__gatepass].join(" ");
    return JSON.stringify({ outcome, entries, engines: [gatepass.engine(), guarding.engine()] });
  } catch (error) {
    return JSON.stringify({ failed: String(error?.stack ?? error) + " " + String(error?.cause ?? "") });
  }
}
`;

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: Record<string, string>, timeout?: number }} options
 * @returns {Promise<{ code: number | null, output: string, stdout: string }>}
 */
export function run(program, args, { cwd, env = {}, timeout = 300_000 }) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env: environment(env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let stdout = "";
    child.stdout.on("data", (chunk) => ((output += chunk), (stdout += chunk)));
    child.stderr.on("data", (chunk) => (output += chunk));
    const timer = setTimeout(() => child.kill("SIGKILL"), timeout);
    child.on("error", (error) => resolve({ code: 127, output: String(error), stdout }));
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, output, stdout });
    });
  });
}

/** What children see: nothing is reported to anybody, and no coverage or reporter of ours. */
function environment(more) {
  const env = { ...process.env, ...QUIET, ...more };
  for (const name of Object.keys(env)) {
    if (/^npm_|^NODE_OPTIONS$|^NODE_TEST/.test(name)) delete env[name];
  }
  return env;
}

const QUIET = {
  CI: "1",
  NO_COLOR: "1",
  NEXT_TELEMETRY_DISABLED: "1",
  WRANGLER_SEND_METRICS: "false",
  NITRO_TELEMETRY_DISABLED: "1",
  PARCEL_WORKERS: "1",
  DENO_NO_UPDATE_CHECK: "1",
};

/**
 * Starts a server and answers once it listens.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: Record<string, string>, url: string }} options url: where it answers
 */
export async function start(program, args, { cwd, env = {}, url }) {
  const child = spawn(program, args, {
    cwd,
    env: environment(env),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  child.stderr.on("data", (chunk) => (output += chunk));
  let ended = false;
  child.on("close", () => (ended = true));
  const stop = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  };
  for (let tries = 0; tries < 600; tries++) {
    if (ended) break;
    const answered = await fetch(url, { signal: AbortSignal.timeout(30_000) }).catch(
      () => undefined,
    );
    if (answered) return { stop, output: () => output };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  stop();
  throw new Error(
    `${program} ${args.join(" ")} does not answer at ${url}:\n${output.slice(-3000)}`,
  );
}

/** What pages cannot ask: the headers of a preflight request are the browser's own. */
function inPage(expected) {
  expected.rules.preflight = [401, null];
  expected.rules.tally.credential_missing += 1;
  return expected;
}

/**
 * @param {string} text what a probe answered
 * @param {{ isPage?: boolean }} [where]
 * @returns {{ entries: string, engine: string }}
 */
export function judge(text, { isPage = false } = {}) {
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Error(`no answer of the probe: ${text.slice(0, 2000)}`);
  }
  if (told.failed) throw new Error(told.failed);
  const expected = JSON.parse(JSON.stringify(EXPECTED));
  assert.deepEqual(told.outcome, isPage ? inPage(expected) : expected);
  const [client, guard] = told.engines;
  return { entries: told.entries, engine: client === guard ? client : `${client}, ${guard}` };
}

/**
 * Runs projects and prints one line for each and one table at the end.
 *
 * @param {readonly import("./projects.mjs").Project[]} projects
 * @param {{ tools: object, print: (line: string) => void }} options
 */
export async function runMatrix(projects, { tools, print }) {
  mkdirSync(work, { recursive: true });
  const tarball = pack();
  const rows = [];
  for (const project of projects) {
    const started = performance.now();
    const row = { name: project.name, configuration: project.configuration ?? "none" };
    const reason = await project.skip?.(tools);
    if (reason) {
      rows.push({ ...row, skipped: reason });
      print(`  skip ${project.name}: ${reason}`);
      continue;
    }
    try {
      const modules = project.group && (await installGroup(project.group));
      const folder = await makeProject(project.name.replace(/[^a-z0-9]+/gi, "-"), {
        modules,
        tarball,
        files: project.files ?? {},
      });
      const judged = await project.run({
        folder,
        tools,
        bin: (name) => join(folder, "node_modules", ".bin", name),
      });
      const expected = project.entries;
      assert.equal(judged.entries, expected, "picked another entry");
      assert.equal(judged.engine, project.engine ?? "wasm", "another engine runs");
      rows.push({ ...row, ...judged });
      if (!process.env.GATEPASS_KEEP) rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      rows.push({ ...row, failed: error });
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const last = rows.at(-1);
    print(`  ${last.failed ? "FAIL" : "ok  "} ${project.name.padEnd(44)}${seconds.padStart(8)} s`);
    if (last.failed)
      print(
        `${last.failed.details ?? ""}\n${last.failed.stack ?? last.failed}`
          .trim()
          .slice(0, 3000)
          .replace(/^/gm, "       "),
      );
  }
  return rows;
}
