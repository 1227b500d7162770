// Makes this machine able to build, test and demonstrate gatepass. Plain Node, nothing imported
// from node_modules, because this file is what puts them there. Running it again costs little: what
// is there is left alone.
//
//   node tools/setup.mjs                    everything
//   node tools/setup.mjs -- COMMAND ARGS    a command of yours with the tools on its PATH;
//                                           the same as `npm run with -- COMMAND ARGS`
//   import { setup } from ...               for the other tools: answers what children need

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

import { ensureBrowser } from "./lib/browser.mjs";
import { ensureCargoTool } from "./lib/cargo-tool.mjs";
import { Failure, isMain, runMain } from "./lib/failure.mjs";
import { withLock } from "./lib/lock.mjs";
import { logDir, nodeModules, root, stateDir } from "./lib/paths.mjs";
import { isExecutable, mustRun, run } from "./lib/process.mjs";
import { ensurePrograms } from "./lib/programs.mjs";
import { ensurePython } from "./lib/python.mjs";
import { heading, seconds, step } from "./lib/terminal.mjs";
import { WASM_TARGET, ensureLibrarySource, ensureWasmTarget } from "./lib/wasm-target.mjs";

const WASM_PACK_VERSION = "0.15.1";

/** Where systems keep servers such as nginx: on the PATH of root, not on everybody's. */
const SYSTEM_FOLDERS =
  process.platform === "win32" ? [] : ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/**
 * @typedef {object} SetupOptions
 * @property {boolean} [browser] also Chromium and chromedriver
 * @property {boolean} [lint] also rustfmt and clippy
 * @property {boolean} [python] also the programs from Python's registry, where CI is set
 * @property {boolean} [programs] also the servers and browsers that some tests need, where CI is set
 *
 * @typedef {object} Tools
 * @property {NodeJS.ProcessEnv} env for children: the tools on PATH, and the toolchain for the wasm
 *   where that is not the usual one
 * @property {NodeJS.ProcessEnv} nativeEnv the same with the usual toolchain, for all that is native
 * @property {string} rustc what `rustc -vV` says of the toolchain in `env`
 * @property {string} sysroot of the toolchain in `env`
 * @property {boolean} librarySource whether the standard library can be compiled with the wasm
 * @property {Record<string, string>} versions of the programs that make the wasm
 * @property {string | undefined} chromium
 * @property {string | undefined} chromedriver
 */

/** @type {Required<SetupOptions> & { tools: Tools } | undefined} */
let earlier;

/**
 * @param {SetupOptions} [options]
 * @returns {Promise<Tools>}
 */
export async function setup({
  browser = false,
  lint = false,
  programs = false,
  python = false,
} = {}) {
  if (
    earlier !== undefined &&
    (earlier.browser || !browser) &&
    (earlier.lint || !lint) &&
    (earlier.programs || !programs) &&
    (earlier.python || !python)
  )
    return earlier.tools;

  heading("Set-up");
  await step("Node", checkNode);
  const rust = await step("Rust", checkRust);
  if (lint) await step("rustfmt and clippy", (it) => ensureLintTools(rust, it));

  const wasm = await step(WASM_TARGET, async (it) => {
    const toolchain = await ensureWasmTarget(process.env, rust.libraryDir, it);
    it.detail(toolchain.detail);
    return toolchain;
  });
  const wasmPack = await step(`wasm-pack ${WASM_PACK_VERSION}`, (it) =>
    ensureCargoTool(
      {
        crate: "wasm-pack",
        version: WASM_PACK_VERSION,
        binaries: ["wasm-pack"],
        duration: "about 2 minutes",
      },
      process.env,
      it,
    ),
  );
  const bindgenVersion = lockedWasmBindgen();
  const bindgen = await step(`wasm-bindgen ${bindgenVersion}`, (it) =>
    ensureCargoTool(
      {
        crate: "wasm-bindgen-cli",
        version: bindgenVersion,
        binaries: ["wasm-bindgen", "wasm-bindgen-test-runner"],
        duration: "about 3 minutes",
      },
      process.env,
      it,
    ),
  );
  await step("npm packages", ensureNodeModules);

  // node_modules first: wasm-opt has to be the one of npm's binaryen. Debian's makes modules that
  // die at their start.
  const toolFolders = [join(nodeModules, ".bin"), bindgen, wasmPack];
  /** @type {NodeJS.ProcessEnv} */
  const nativeEnv = {
    ...process.env,
    PATH: [...toolFolders, process.env.PATH, ...SYSTEM_FOLDERS].join(delimiter),
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: join(bindgen, "wasm-bindgen-test-runner"),
  };
  const env = { ...nativeEnv };
  if (wasm.rustupToolchain !== undefined) env.RUSTUP_TOOLCHAIN = wasm.rustupToolchain;
  if (wasm.binaries !== undefined)
    env.PATH = [...toolFolders, wasm.binaries, env.PATH].join(delimiter);
  const wasmRust = wasm.detail === "" ? rust : await askRust(env);
  const librarySource = await step("Rust's library in source", (it) =>
    ensureLibrarySource(wasmRust, env, it),
  );

  const found = browser
    ? await step("Chromium and chromedriver", async (it) => {
        const pair = await ensureBrowser(process.env, it);
        it.detail(pair.version);
        return pair;
      })
    : undefined;

  if (programs) await step("Programs for the tests", (it) => ensurePrograms(nativeEnv, it));

  const interpreter = python
    ? await step("Programs in Python", (it) => ensurePython(process.env, it))
    : undefined;
  if (interpreter !== undefined) {
    env["GATEPASS_PYTHON"] = interpreter;
    nativeEnv["GATEPASS_PYTHON"] = interpreter;
  }

  const tools = {
    env,
    nativeEnv,
    rustc: wasmRust.version,
    sysroot: wasmRust.sysroot,
    librarySource,
    versions: { "wasm-pack": WASM_PACK_VERSION, "wasm-bindgen": bindgenVersion },
    chromium: found?.chromium,
    chromedriver: found?.chromedriver,
  };
  earlier = { browser, lint, programs, python, tools };
  return tools;
}

/** @param {import("./lib/terminal.mjs").Step} it */
function checkNode(it) {
  if (process.platform === "win32") {
    throw new Failure("These tools are made for Linux and macOS: on Windows, run them inside WSL.");
  }
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const wanted = Number(/\d+/.exec(manifest.engines.node)?.[0]);
  const present = process.versions.node;
  it.detail(present);
  if (Number(present.split(".")[0]) < wanted) {
    throw new Failure(
      `Node ${wanted} or newer is needed, this is ${present}: install a newer Node, then run this again.`,
    );
  }
}

/** @param {import("./lib/terminal.mjs").Step} it */
async function checkRust(it) {
  const rust = await askRust(process.env);
  const release = /^release: (.*)$/m.exec(rust.version)?.[1] ?? "";
  it.detail(release);

  const wanted = /^rust-version = "(.*)"/m.exec(
    readFileSync(join(root, "Cargo.toml"), "utf8"),
  )?.[1];
  if (wanted !== undefined && isOlder(release, wanted)) {
    throw new Failure(
      `Rust ${wanted} or newer is needed, this is ${release}: update it (rustup update stable), then run this again.`,
    );
  }
  return rust;
}

/**
 * @typedef {object} Rust
 * @property {string} version
 * @property {string} sysroot
 * @property {string} libraryDir
 */

/**
 * Asked in the checkout, because rustup chooses by folder.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Rust>}
 */
async function askRust(env) {
  const [version, places, cargo] = await Promise.all([
    run("rustc", ["-vV"], { cwd: root, env }),
    run("rustc", ["--target", WASM_TARGET, "--print", "sysroot", "--print", "target-libdir"], {
      cwd: root,
      env,
    }),
    run("cargo", ["--version"], { cwd: root, env }),
  ]);
  for (const asked of [version, places, cargo]) {
    if (asked.code === 0) continue;
    throw new Failure(
      "Rust is missing (rustc and cargo): install it with rustup, see rust-lang.org/tools/install, then run this again.",
      asked.output,
    );
  }
  const [sysroot = "", libraryDir = ""] = places.stdout.trim().split("\n");
  return { version: version.stdout, sysroot, libraryDir };
}

/**
 * @param {string} present
 * @param {string} wanted
 */
function isOlder(present, wanted) {
  const [a = 0, b = 0] = present.split(".").map((part) => Number.parseInt(part, 10));
  const [c = 0, d = 0] = wanted.split(".").map((part) => Number.parseInt(part, 10));
  return a < c || (a === c && b < d);
}

/**
 * @param {Rust} rust
 * @param {import("./lib/terminal.mjs").Step} it
 */
async function ensureLintTools(rust, it) {
  const missing = () =>
    ["cargo-fmt", "rustfmt", "cargo-clippy", "clippy-driver"].some(
      (name) => !isExecutable(join(rust.sysroot, "bin", name)),
    );
  if (!missing()) return;
  it.slow("rustup component add");
  await run("rustup", ["component", "add", "rustfmt", "clippy"], {
    cwd: root,
    log: join(logDir, "setup-lint.log"),
  });
  if (missing()) {
    throw new Failure(
      "rustfmt and clippy are missing: install them (rustup component add rustfmt clippy), then run this again.",
    );
  }
}

/**
 * The CLI has to equal the crate to the last digit, and Cargo.lock is where the crate's version is
 * decided.
 */
function lockedWasmBindgen() {
  const path = join(root, "Cargo.lock");
  if (!existsSync(path)) {
    throw new Failure(
      "Cargo.lock is missing: it belongs to the checkout, restore it (or make a new one with cargo generate-lockfile).",
    );
  }
  const version = /^name = "wasm-bindgen"\nversion = "(.*)"$/m.exec(
    readFileSync(path, "utf8").replaceAll("\r\n", "\n"),
  )?.[1];
  if (version === undefined)
    throw new Failure("Cargo.lock names no wasm-bindgen: is it the lock file of this project?");
  return version;
}

/**
 * `npm ci`, unless it ended well before for the same lock file. The stamp lies inside node_modules:
 * npm ci removes the folder first, so an interrupted run leaves no stamp.
 *
 * @param {import("./lib/terminal.mjs").Step} it
 */
async function ensureNodeModules(it) {
  const stamp = join(nodeModules, ".gatepass-setup");
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex");
  const isDone = () => existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;
  if (isDone()) return;

  await withLock(
    join(stateDir, "npm.lock"),
    (holder) => it.slow(`waiting for ${holder}, which installs them`),
    async () => {
      if (isDone()) return;
      it.slow("npm ci");
      await mustRun(
        "The npm packages could not be installed.",
        "npm",
        // The tools are devDependencies: wanted even where NODE_ENV says production. None of them
        // needs its install script.
        ["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
        { cwd: root, log: join(logDir, "setup-npm.log") },
      );
      writeFileSync(stamp, wanted);
    },
  );
}

/**
 * The command sits at the same terminal as we do: Ctrl-C reaches it without us, and it decides when
 * it ends.
 *
 * @param {string} command
 * @param {readonly string[]} args
 */
async function runWithTools(command, args) {
  // A test by its file may need what they bring.
  const { env } = await setup({ python: true });
  const child = spawn(command, args, { env, stdio: "inherit" });
  const signals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
  for (const signal of signals) process.on(signal, () => signal !== "SIGINT" && child.kill(signal));
  process.exitCode = await new Promise((resolve) => {
    child.once("error", () => resolve(127));
    child.once("close", (code) => resolve(code ?? 1));
  });
}

if (isMain(import.meta.url)) {
  await runMain(async () => {
    const [dashes, command, ...args] = process.argv.slice(2);
    if (dashes === "--" && command !== undefined) return runWithTools(command, args);
    if (dashes !== undefined) throw new Failure("Usage: node tools/setup.mjs [-- COMMAND ARGS]");
    const started = performance.now();
    await setup({ browser: true, lint: true, programs: true, python: true });
    process.stdout.write(`Ready after ${seconds(started)}.\n`);
  });
}
