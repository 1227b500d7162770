// Makes Rust able to compile for wasm32-unknown-unknown. The ordinary way is `rustup target add`.
// Where that cannot work (a network with package registries only), Debian has a recent compiler
// with its library sources: the library is built once and the toolchain is chosen through
// RUSTUP_TOOLCHAIN, for our children only. A rust-toolchain file would bind everybody to a
// toolchain that exists on such machines alone.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { Failure } from "./failure.mjs";
import { withLock } from "./lock.mjs";
import { cargoHome, logDir, root, toolsCache } from "./paths.mjs";
import { mustRun, run, which } from "./process.mjs";

export const WASM_TARGET = "wasm32-unknown-unknown";

/** A network that swallows packets would let rustup wait for ever. */
const RUSTUP_TIMEOUT_MS = 180_000;

const DEBIAN_PACKAGES = [
  "rustc-web",
  "cargo-web",
  "rust-web-src",
  "rust-web-llvm",
  "lld-22",
  "rust-web-clippy",
];
const DEBIAN_TOOLCHAIN = "debian";
const DEBIAN_RUSTC = "/usr/bin/rustc";
const DEBIAN_LIBRARY = `/usr/lib/rustlib/${WASM_TARGET}/lib`;

/**
 * Says which compiler the library was built with, as it fits no other, and by which version of the
 * recipe below.
 */
const DEBIAN_STAMP = join(DEBIAN_LIBRARY, ".gatepass");
const DEBIAN_RECIPE = "recipe 1";

/** `test` because `cargo test` links it, `proc_macro` because `test` needs it. */
const STD_CRATES = "std,panic_abort,panic_unwind,test,proc_macro";

/**
 * @typedef {object} WasmToolchain
 * @property {string} detail for the progress line
 * @property {string} [rustupToolchain] the toolchain to choose for the wasm, where it is not the usual one
 * @property {string} [binaries] folder that has to be first on PATH, where there is no rustup to choose with
 */

/** @type {WasmToolchain} */
const USUAL = { detail: "" };

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} libraryDir where the active toolchain keeps the target's library, as rustc says
 * @param {import("./terminal.mjs").Step} step
 * @returns {Promise<WasmToolchain>}
 */
export async function ensureWasmTarget(env, libraryDir, step) {
  if (hasLibrary(libraryDir)) return USUAL;

  const viaRustup = which("rustup", env) !== undefined;
  if (await debianIsReady(env, viaRustup)) return debianToolchain(viaRustup);

  return withLock(
    join(toolsCache(env), "wasm-target.lock"),
    (holder) => step.slow(`waiting for ${holder}, which installs it`),
    async () => {
      let reason = "rustup is not installed";
      if (viaRustup) {
        step.slow("rustup target add");
        const log = join(logDir, "setup-wasm-target.log");
        const added = await run("rustup", ["target", "add", WASM_TARGET], {
          cwd: root,
          env,
          log,
          timeout: RUSTUP_TIMEOUT_MS,
        });
        if (added.code === 0 && hasLibrary(libraryDir)) return USUAL;
        reason = `\`rustup target add ${WASM_TARGET}\` failed`;
      }
      if (!isDebian() || process.getuid?.() !== 0) {
        throw new Failure(
          `Rust cannot compile for WebAssembly here: ${reason}. Install the target ${WASM_TARGET} ` +
            "(with rustup, or your distribution's package for it), then run this again.",
        );
      }
      if (!(await debianIsReady(env, viaRustup))) await installDebian(env, viaRustup, step);
      return debianToolchain(viaRustup);
    },
  );
}

/**
 * Whether the standard library can be compiled with the published wasm, which is what makes it small:
 * without the code that words panics, and without what old browsers do not know.
 *
 * @param {{ version: string, sysroot: string }} rust the toolchain of the wasm
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 */
export async function ensureLibrarySource({ version, sysroot }, env, step) {
  const minor = Number(/^release: 1\.(\d+)\./m.exec(version)?.[1]);
  if (!(minor >= LIBRARY_SINCE)) {
    step.detail(`Rust 1.${LIBRARY_SINCE} can: builds are larger by a tenth`);
    return false;
  }
  const source = join(sysroot, "lib", "rustlib", "src", "rust", "library", "Cargo.lock");
  const isThere = () => existsSync(source);
  if (isThere()) return true;
  if (which("rustup", env) !== undefined) {
    await withLock(
      join(toolsCache(env), "library-source.lock"),
      (holder) => step.slow(`waiting for ${holder}, which installs it`),
      async () => {
        if (isThere()) return;
        step.slow("rustup component add rust-src");
        await run("rustup", ["component", "add", "rust-src"], {
          cwd: root,
          env,
          log: join(logDir, "setup-library-source.log"),
          timeout: RUSTUP_TIMEOUT_MS,
        });
      },
    );
  }
  if (!isThere()) step.detail("not to be had: builds are larger by a tenth");
  return isThere();
}

/** The first version whose panics can do without words. */
const LIBRARY_SINCE = 92;

/**
 * The folder alone is not enough: an interrupted installation leaves it empty.
 *
 * @param {string} dir
 */
function hasLibrary(dir) {
  return existsSync(dir) && readdirSync(dir).some((file) => /^libstd-.*\.rlib$/.test(file));
}

export function isDebian() {
  return (
    existsSync("/etc/os-release") && /^ID=debian$/m.test(readFileSync("/etc/os-release", "utf8"))
  );
}

/**
 * @param {boolean} viaRustup
 * @returns {WasmToolchain}
 */
function debianToolchain(viaRustup) {
  const detail = "by Debian's Rust";
  return viaRustup
    ? { detail, rustupToolchain: DEBIAN_TOOLCHAIN }
    : { detail, binaries: "/usr/bin" };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {boolean} viaRustup
 */
async function debianIsReady(env, viaRustup) {
  if (!existsSync(DEBIAN_STAMP) || !existsSync(DEBIAN_RUSTC)) return false;
  if (readFileSync(DEBIAN_STAMP, "utf8") !== (await debianStamp(env))) return false;
  return !viaRustup || (await isLinked(env));
}

/** @param {NodeJS.ProcessEnv} env */
async function debianStamp(env) {
  const { stdout } = await run(DEBIAN_RUSTC, ["-vV"], { env });
  return `${stdout}${DEBIAN_RECIPE}\n`;
}

/** @param {NodeJS.ProcessEnv} env */
async function isLinked(env) {
  const { stdout } = await run("rustup", ["toolchain", "list"], { env });
  return stdout.split("\n").some((line) => line.split(" ")[0] === DEBIAN_TOOLCHAIN);
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {boolean} viaRustup
 * @param {import("./terminal.mjs").Step} step
 */
async function installDebian(env, viaRustup, step) {
  const installed = await run("dpkg", ["-s", ...DEBIAN_PACKAGES], { env });
  if (installed.code !== 0) {
    step.slow("apt-get install of Debian's Rust");
    await aptInstall(
      DEBIAN_PACKAGES,
      env,
      "setup-wasm-target-apt.log",
      "Debian's Rust could not be installed with apt-get.",
    );
  }

  const stamp = await debianStamp(env);
  if (!existsSync(DEBIAN_STAMP) || readFileSync(DEBIAN_STAMP, "utf8") !== stamp) {
    step.slow("building the standard library once, about 1.5 minutes");
    await buildDebianLibrary(env, stamp);
  }
  if (viaRustup && !(await isLinked(env))) {
    await mustRun(
      "rustup could not link Debian's toolchain.",
      "rustup",
      ["toolchain", "link", DEBIAN_TOOLCHAIN, "/usr"],
      { env },
    );
  }
}

/**
 * Builds an empty crate with -Zbuild-std and keeps the libraries that this makes.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {string} stamp
 */
async function buildDebianLibrary(env, stamp) {
  const work = mkdtempSync(join(tmpdir(), "gatepass-std-"));
  try {
    mkdirSync(join(work, "src"));
    writeFileSync(join(work, "src", "lib.rs"), "");
    writeFileSync(
      join(work, "Cargo.toml"),
      '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n',
    );
    const cargo = (/** @type {string} */ command, /** @type {string[]} */ rustflags) =>
      mustRun(
        `The Rust standard library for ${WASM_TARGET} could not be built with Debian's compiler.`,
        "/usr/bin/cargo",
        [...command.split(" "), `--target=${WASM_TARGET}`, `-Zbuild-std=${STD_CRATES}`],
        {
          cwd: work,
          log: join(logDir, "setup-wasm-target-std.log"),
          append: command !== "fetch",
          env: {
            ...withoutCargoSettings(env),
            CARGO_TARGET_DIR: join(work, "target"),
            RUSTC: DEBIAN_RUSTC,
            RUSTC_BOOTSTRAP: "1",
            CARGO_ENCODED_RUSTFLAGS: rustflags.join("\u001f"),
          },
        },
      );
    // First, so that the folders exist whose names must not get into the library.
    await cargo("fetch", []);
    await cargo("build --release", [
      // cargo leaves bitcode out by default, and then `lto = true` of whoever links against this
      // would fail.
      "-Cembed-bitcode=yes",
      "--remap-path-prefix=/usr/lib/rustlib/src/rust=/rustc/src",
      ...registryFolders(env).map((folder) => `--remap-path-prefix=${folder}=/crates`),
    ]);
    const made = join(work, "target", WASM_TARGET, "release", "deps");
    const staged = `${DEBIAN_LIBRARY}.${process.pid}`;
    mkdirSync(staged, { recursive: true });
    for (const file of readdirSync(made)) {
      if (file.endsWith(".rlib") && !file.startsWith("libempty-"))
        copyFileSync(join(made, file), join(staged, file));
    }
    writeFileSync(join(staged, basename(DEBIAN_STAMP)), stamp);
    rmSync(DEBIAN_LIBRARY, { recursive: true, force: true });
    renameSync(staged, DEBIAN_LIBRARY);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Where the sources of crates lie. The last part of such a path names the registry they came from.
 *
 * @param {NodeJS.ProcessEnv} env
 */
function registryFolders(env) {
  const sources = join(cargoHome(env), "registry", "src");
  return existsSync(sources) ? readdirSync(sources).map((name) => join(sources, name)) : [];
}

/** Settings that a person has for their own projects and that would change what is built here. */
const FOREIGN_SETTINGS =
  /^(RUSTFLAGS|CARGO_ENCODED_RUSTFLAGS|CARGO_TARGET_DIR|CARGO_BUILD_(TARGET|TARGET_DIR|RUSTFLAGS)|CARGO_TARGET_.*_RUSTFLAGS|CARGO_PROFILE_.*)$/;

/** @param {NodeJS.ProcessEnv} env */
export function withoutCargoSettings(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !FOREIGN_SETTINGS.test(name)));
}

/**
 * @param {readonly string[]} packages
 * @param {NodeJS.ProcessEnv} env
 * @param {string} logName
 * @param {string} sentence
 */
export async function aptInstall(packages, env, logName, sentence) {
  const options = {
    env: { ...env, DEBIAN_FRONTEND: "noninteractive" },
    log: join(logDir, logName),
  };
  await mustRun(sentence, "apt-get", ["-q", "update"], options);
  await mustRun(
    sentence,
    "apt-get",
    ["-q", "-y", "install", "--no-install-recommends", ...packages],
    options,
  );
}
