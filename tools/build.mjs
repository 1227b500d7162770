// Makes what npm packs, in dist/: Rust -> wasm-pack -> wasm-opt -> the same bytes as text -> the
// TypeScript facade. The only reader of wasm-pack.toml. What did not change is not made again.
//
//   node tools/build.mjs
//   import { build } from ...     answers where things are

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { entryFiles } from "./lib/entries.mjs";
import { Failure, isMain, runMain } from "./lib/failure.mjs";
import { fallbackModule, fallbackModuleTypes } from "./lib/fallback.mjs";
import { glueModule, makeGlueTypes } from "./lib/glue.mjs";
import { inlineModule, inlineModuleTypes } from "./lib/inline.mjs";
import { withLock } from "./lib/lock.mjs";
import { parseMatrix } from "./lib/matrix.mjs";
import { cargoHome, distDir, logDir, nodeModules, root, stateDir } from "./lib/paths.mjs";
import { mustRun } from "./lib/process.mjs";
import { filesBelow, fingerprint, forget, isUpToDate, remember, sha256 } from "./lib/stamp.mjs";
import { heading, step } from "./lib/terminal.mjs";
import { WASM_TARGET, withoutCargoSettings } from "./lib/wasm-target.mjs";
import { setup } from "./setup.mjs";

const wasmDir = join(distDir, "wasm");
const facadeDir = join(root, "npm");

/**
 * @typedef {object} Built
 * @property {string} dist
 * @property {BuiltArtefact[]} artefacts
 * @property {{ entry: string, budget: number }[]} bundles the entries of the package, with what each may cost
 * @property {boolean} librarySource whether the standard library was compiled with them, which the budgets reckon with
 *
 * @typedef {object} BuiltArtefact
 * @property {string} name
 * @property {string} wasm
 * @property {string} glue
 * @property {string} inline
 * @property {string} fallback
 * @property {{ wasm: number, glue: number, fallback: number }} budget
 */

/**
 * @param {{ env?: NodeJS.ProcessEnv }} [options] env: for child processes, as `setup` answers it
 * @returns {Promise<Built>}
 */
export async function build(options = {}) {
  const tools = await setup();
  const env = options.env ?? tools.env;
  heading("Build");
  return withLock(
    join(stateDir, "build.lock"),
    (holder) => process.stdout.write(`  waiting for ${holder}, which builds in this checkout\n`),
    async () => {
      const matrix = await parseMatrix(readFileSync(join(root, "wasm-pack.toml"), "utf8"));
      removeLeftOvers(matrix.artefacts);
      const artefacts = [];
      for (const artefact of matrix.artefacts) {
        artefacts.push(
          await step(`${artefact.name}.wasm`, (it) =>
            buildArtefact(artefact, { ...tools, env }, it),
          ),
        );
      }
      writeEntries(matrix.artefacts);
      await step("TypeScript facade", (it) => buildFacade(env, it));
      await step("the same for require()", (it) => buildEntries(matrix.artefacts, tools, it));
      const { librarySource } = tools;
      return { dist: distDir, artefacts, bundles: matrix.bundles, librarySource };
    },
  );
}

/**
 * Everything that goes into dist/wasm/ for one artefact.
 *
 * @param {string} name
 */
function outputsOf(name) {
  const at = (/** @type {string} */ file) => join(wasmDir, file);
  return {
    wasm: at(`${name}.wasm`),
    wasmTypes: at(`${name}.wasm.d.ts`),
    glue: at(`${name}_bg.js`),
    glueTypes: at(`${name}_bg.d.ts`),
    inline: at(`${name}.inline.js`),
    inlineTypes: at(`${name}.inline.d.ts`),
    fallback: at(`${name}.fallback.js`),
    fallbackTypes: at(`${name}.fallback.d.ts`),
  };
}

/**
 * Files of an earlier build that no source stands for any more: npm would pack them, and TypeScript
 * would find them.
 *
 * @param {readonly import("./lib/matrix.mjs").Artefact[]} artefacts
 */
function removeLeftOvers(artefacts) {
  const expected = new Set([...modules(artefacts), ...secondOutputs(artefacts)]);
  for (const file of filesBelow([distDir])) {
    if (!expected.has(file)) rmSync(file);
  }
}

/**
 * What is made before the entries.
 *
 * @param {readonly import("./lib/matrix.mjs").Artefact[]} artefacts
 */
function modules(artefacts) {
  return [...artefacts.flatMap(({ name }) => Object.values(outputsOf(name))), ...facadeOutputs()];
}

/**
 * The entries, everything once more as CommonJS but what is for edge runtimes, which know modules
 * only, and what says how all of it was made.
 *
 * @param {readonly import("./lib/matrix.mjs").Artefact[]} artefacts
 */
function secondOutputs(artefacts) {
  const entries = artefacts
    .flatMap((artefact) => Object.keys(entryFiles(artefact)))
    .map((file) => join(distDir, file));
  return [
    ...entries,
    ...[...modules(artefacts), ...entries].filter(hasTwin).map(twinOf),
    join(distDir, "cjs", "package.json"),
    join(distDir, "build.json"),
  ];
}

/** @param {string} file of dist/ */
const hasTwin = (file) =>
  /\.(js|d\.ts)$/.test(file) &&
  !/(\bedge|\.wasm)\.(js|d\.ts)$/.test(file) &&
  !isProgram(relative(distDir, file));

/** @param {string} file of dist/ */
const twinOf = (file) => join(distDir, "cjs", relative(distDir, file));

function facadeOutputs() {
  return filesBelow([facadeDir])
    .filter((file) => /(?<!\.d)\.tsx?$/.test(file))
    .map((file) => relative(facadeDir, file).replace(/\.tsx?$/, ""))
    .flatMap((file) => (isProgram(file) ? [`${file}.js`] : [`${file}.js`, `${file}.d.ts`]))
    .map((file) => join(distDir, file));
}

/**
 * Whether a file is part of the command line or the service, which nobody imports.
 *
 * @param {string} file relative to npm/
 */
const isProgram = (file) => /^(?:cli|server)[\\/]/.test(file);

/**
 * @param {import("./lib/matrix.mjs").Artefact} artefact
 * @param {import("./setup.mjs").Tools} tools
 * @param {import("./lib/terminal.mjs").Step} it
 * @returns {Promise<BuiltArtefact>}
 */
async function buildArtefact(artefact, tools, it) {
  const { name } = artefact;
  const outputs = outputsOf(name);
  const built = {
    name,
    wasm: outputs.wasm,
    glue: outputs.glue,
    inline: outputs.inline,
    fallback: outputs.fallback,
    budget: artefact.budget,
  };

  const stamp = join(stateDir, `${name}.stamp.json`);
  const inputs = artefactInputs(artefact, tools);
  if (isUpToDate(stamp, inputs)) {
    it.detail("unchanged");
    return built;
  }
  forget(stamp);

  it.slow("wasm-pack build");
  const work = join("target", "wasm", name);
  const raw = await compile(artefact, work, tools);
  assertNothingForeign(name, readFileSync(raw));
  const optimised = join(root, work, `${name}.wasm`);
  await optimise(artefact, raw, optimised, tools);
  const wasm = readFileSync(optimised);
  const glue = join(root, work, `${name}_bg.js`);
  assertNoLocalPaths(name, wasm, tools);
  await assertStarts(name, wasm, glue);

  const inline = inlineModule(`${name}.wasm`, wasm);
  await assertRoundTrip(name, wasm, inline);
  const fallback = await translate(name, optimised, tools);
  await assertTranslationStarts(name, fallback, glue);

  mkdirSync(wasmDir, { recursive: true });
  writeFileSync(outputs.wasm, wasm);
  writeFileSync(
    outputs.wasmTypes,
    "declare const module: WebAssembly.Module;\nexport default module;\n",
  );
  writeFileSync(outputs.glue, glueModule(`${name}.wasm`, readFileSync(glue, "utf8")));
  writeFileSync(
    outputs.glueTypes,
    glueTypes(name, readFileSync(join(root, work, `${name}.d.ts`), "utf8")),
  );
  writeFileSync(outputs.inline, inline);
  writeFileSync(outputs.inlineTypes, inlineModuleTypes);
  writeFileSync(outputs.fallback, fallback);
  writeFileSync(outputs.fallbackTypes, fallbackModuleTypes);
  remember(stamp, inputs, Object.values(outputs));
  it.detail(`${kilobytes(wasm.length)}, ${kilobytes(gzipSync(wasm, { level: 9 }).length)} gzip`);
  return built;
}

/**
 * @param {import("./lib/matrix.mjs").Artefact} artefact
 * @param {import("./setup.mjs").Tools} tools
 */
function artefactInputs(artefact, tools) {
  // A changed budget changes nothing in the wasm.
  const { budget: _, entry: _entry, about: _about, ...settings } = artefact;
  return fingerprint(
    [
      join(root, "src"),
      join(root, "Cargo.toml"),
      join(root, "Cargo.lock"),
      join(root, ".cargo", "config.toml"),
      fileURLToPath(import.meta.url),
      join(root, "tools", "lib", "fallback.mjs"),
      join(root, "tools", "lib", "glue.mjs"),
      join(root, "tools", "lib", "inline.mjs"),
    ],
    {
      settings,
      rustc: tools.rustc,
      librarySource: tools.librarySource,
      wasmTools: tools.versions,
      wasmOpt: versionOf("binaryen"),
      esbuild: versionOf("esbuild"),
    },
  );
}

/**
 * The published wasm. Answers the path of what wasm-pack made.
 *
 * @param {import("./lib/matrix.mjs").Artefact} artefact
 * @param {string} work
 * @param {import("./setup.mjs").Tools} tools
 */
async function compile(artefact, work, tools) {
  const remaps = await pathRemaps(tools);
  const rustflags = [
    ...(tools.librarySource ? WITH_LIBRARY : WITHOUT_REFERENCES),
    ...artefact.rustflags,
    STACK,
    ...remaps.map(([from, to]) => `--remap-path-prefix=${from}=${to}`),
  ]
    .map((flag) => JSON.stringify(flag))
    .join(", ");
  return wasmPack(artefact, work, tools, [
    // As configuration, not as RUSTFLAGS: those are split at spaces, which a path may hold, and
    // would replace the flags of .cargo/config.toml instead of adding to them.
    "--config",
    `target.${WASM_TARGET}.rustflags=[${rustflags}]`,
    ...(tools.librarySource
      ? ["-Zbuild-std=std,panic_abort", `-Zbuild-std-features=${artefact.library.join(",")}`]
      : []),
  ]);
}

/**
 * wasm-pack without its package.json and its wasm-opt: both are ours.
 *
 * @param {import("./lib/matrix.mjs").Artefact} artefact
 * @param {string} work
 * @param {import("./setup.mjs").Tools} tools
 * @param {readonly string[]} more for cargo
 */
async function wasmPack({ name, features, profile }, work, tools, more) {
  rmSync(join(root, work), { recursive: true, force: true });
  await mustRun(
    `wasm-pack could not build ${name}.wasm.`,
    "wasm-pack",
    [
      "build",
      "--target=bundler",
      `--profile=${profile}`,
      "--mode=no-install",
      "--no-pack",
      "--no-opt",
      `--out-dir=${work}`,
      `--out-name=${name}`,
      ".",
      "--",
      "--no-default-features",
      `--features=${features.join(",")}`,
      ...more,
    ],
    {
      cwd: root,
      // Compiling the library is a switch of cargo's that is not stable yet.
      env: {
        ...withoutCargoSettings(tools.env),
        ...(tools.librarySource && more.length > 0 && { RUSTC_BOOTSTRAP: "1" }),
      },
      log: join(logDir, `build-${work.replaceAll(/[\\/]/g, "-")}.log`),
    },
  );
  if (existsSync(join(root, work, "snippets"))) {
    throw new Failure(
      `${name}: a crate brings JavaScript snippets, which dist/wasm has no place for: do without that crate.`,
    );
  }
  return join(root, work, `${name}_bg.wasm`);
}

/**
 * What stable Rust makes of an artefact with no switch of ours, for comparison: it starts, and its
 * size is shown beside that of the published one.
 *
 * @param {string} name
 * @returns {Promise<string>} the path of its wasm
 */
export async function buildPlain(name) {
  const tools = await setup();
  const matrix = await parseMatrix(readFileSync(join(root, "wasm-pack.toml"), "utf8"));
  const artefact = matrix.artefacts.find((each) => each.name === name);
  if (artefact === undefined) throw new Failure(`wasm-pack.toml has no artefact "${name}".`);
  const work = join("target", "plain", name);
  const wasm = join(root, work, `${name}.wasm`);
  const stamp = join(stateDir, `${name}.plain.stamp.json`);
  const inputs = artefactInputs(artefact, tools);
  if (isUpToDate(stamp, inputs)) return wasm;
  forget(stamp);
  const raw = await wasmPack(artefact, work, tools, []);
  await optimise(artefact, raw, wasm, tools);
  await assertStarts(name, readFileSync(wasm), join(root, work, `${name}_bg.js`));
  remember(stamp, inputs, [wasm]);
  return wasm;
}

/**
 * The library in source makes the wasm a tenth smaller: a panic traps and words nothing, and the
 * oldest instructions are all it needs besides these four extensions.
 */
const WITH_LIBRARY = [
  "-Ctarget-cpu=mvp",
  "-Ctarget-feature=+bulk-memory,+mutable-globals,+nontrapping-fptoint,+sign-ext",
  "-Zunstable-options",
  "-Cpanic=immediate-abort",
  // The names of functions as stable Rust writes them: tools/lib/glue.mjs knows some.
  "-Csymbol-mangling-version=legacy",
];

/**
 * Without reference types and multiple values: browsers of some years ago and older bundlers do not
 * know them, and nothing translates them to JavaScript. The library is compiled with both; the
 * linker is told what the module uses, and wasm-bindgen goes by that.
 */
const WITHOUT_REFERENCES = [
  "-Ctarget-feature=-reference-types,-multivalue",
  "-Clink-arg=--no-check-features",
  "-Clink-arg=--features=bulk-memory,mutable-globals,nontrapping-fptoint,sign-ext",
];

/**
 * Every instance has its stack from the beginning. The default is a megabyte; 15 kB are the most that
 * were seen, with JSON of 128 levels, and what does not fit traps.
 */
const STACK = "-Clink-arg=-zstack-size=262144";

/**
 * @param {import("./lib/matrix.mjs").Artefact} artefact
 * @param {string} raw
 * @param {string} optimised
 * @param {import("./setup.mjs").Tools} tools
 */
async function optimise({ name, wasmOpt }, raw, optimised, tools) {
  await mustRun(
    `wasm-opt failed for ${name}.wasm.`,
    "wasm-opt",
    [raw, "-o", optimised, ...wasmOpt],
    { cwd: root, env: tools.env, log: join(logDir, `build-${name}-wasm-opt.log`) },
  );
}

/**
 * The module as JavaScript, by binaryen, from the same bytes: what it has no words for is first
 * written with older instructions.
 *
 * @param {string} name
 * @param {string} wasm
 * @param {import("./setup.mjs").Tools} tools
 */
async function translate(name, wasm, tools) {
  const work = dirname(wasm);
  const [lowered, translated] = [join(work, "lowered.wasm"), join(work, "translated.js")];
  const options = { cwd: root, env: tools.env, log: join(logDir, `build-${name}-wasm2js.log`) };
  await mustRun(
    `wasm-opt could not lower ${name}.wasm.`,
    "wasm-opt",
    [
      wasm,
      "-o",
      lowered,
      "--signext-lowering",
      "--llvm-nontrapping-fptoint-lowering",
      "--llvm-memory-copy-fill-lowering",
      "-O",
    ],
    options,
  );
  await mustRun(`wasm2js failed for ${name}.wasm.`, "wasm2js", [lowered, "-Oz", "-o", translated], {
    ...options,
    append: true,
  });
  const { transform } = await import("esbuild");
  const { code } = await transform(
    fallbackModule(`${name}.wasm`, readFileSync(translated, "utf8")),
    { minify: true, format: "esm", target: "es2022" },
  );
  return `// ${name}.wasm in JavaScript, made by tools/build.mjs for hosts without WebAssembly.\n${code}`;
}

/**
 * @param {string} name
 * @param {string} fallback
 * @param {string} glueFile
 */
async function assertTranslationStarts(name, fallback, glueFile) {
  const { instantiate } = await import(`data:text/javascript,${encodeURIComponent(fallback)}`);
  const glue = await import(`${pathToFileURL(glueFile).href}?js${sha256(fallback)}`);
  try {
    const exports = instantiate({ [`./${name}_bg.js`]: glue });
    glue.__wbg_set_wasm(exports);
    exports.__wbindgen_start?.();
  } catch (error) {
    throw new Failure(`${name}.wasm does not start as JavaScript: ${error}`);
  }
}

/**
 * Panic messages name source files. With these, the same wasm comes out on every machine, and it
 * tells nothing of ours. rustc takes the last pair that fits, so the general ones stand first.
 *
 * @param {import("./setup.mjs").Tools} tools
 * @returns {Promise<[string, string][]>}
 */
async function pathRemaps(tools) {
  const { stdout } = await mustRun(
    "cargo could not list the dependencies.",
    "cargo",
    ["metadata", "--format-version=1", `--filter-platform=${WASM_TARGET}`],
    { cwd: root, env: tools.env, log: join(logDir, "build-metadata.log") },
  );
  /** @type {{ packages: { source: string | null, manifest_path: string }[] }} */
  const { packages } = JSON.parse(stdout);
  const registries = new Set(
    packages
      .filter(({ source }) => source !== null)
      .map(({ manifest_path }) => dirname(dirname(manifest_path))),
  );
  const commit = /^commit-hash: ([0-9a-f]+)$/m.exec(tools.rustc)?.[1] ?? "src";
  return [
    [homedir(), "/home"],
    [cargoHome(tools.env), "/cargo"],
    [root, "/gatepass"],
    [join(tools.sysroot, "lib", "rustlib", "src", "rust"), `/rustc/${commit}`],
    ...[...registries]
      .sort()
      .map((registry) => /** @type {[string, string]} */ ([registry, "/crates"])),
  ];
}

/**
 * What is not worth its bytes must not come in unnoticed, with a dependency or a `{}` for a float: 75
 * kB compressed for `url`'s tables, 27 for serde_json, 10 for writing floats. Looked for among the
 * names of functions, which are there until wasm-opt strips them.
 *
 * @param {string} name
 * @param {Buffer} raw
 */
function assertNothingForeign(name, raw) {
  if (!raw.includes("gatepass::")) {
    throw new Failure(
      `${name}.wasm has no names before wasm-opt, so it cannot be told what is in it: does a profile strip them?`,
    );
  }
  for (const foreign of FOREIGN) {
    if (!raw.includes(foreign)) continue;
    throw new Failure(
      `${name}.wasm holds functions of ${foreign}: see "What we wrote ourselves" in ARCHITECTURE.md.`,
    );
  }
}

const FOREIGN = [
  "regex_automata",
  "regex_syntax",
  "serde_json",
  "serde_wasm_bindgen",
  "idna",
  "icu_",
  "flt2dec",
  "dec2flt",
];

/**
 * @param {string} name
 * @param {Buffer} wasm
 * @param {import("./setup.mjs").Tools} tools
 */
function assertNoLocalPaths(name, wasm, tools) {
  const forbidden = [
    homedir(),
    root,
    cargoHome(tools.env),
    tools.sysroot,
    "/root/",
    "/home/",
    "/.cargo/",
    "registry/src",
  ];
  for (const text of forbidden) {
    // A home of "/" or a sysroot of "/usr" says nothing about this machine.
    if (text.length > "/usr".length && wasm.includes(text)) {
      throw new Failure(
        `${name}.wasm holds a path of this machine ("${text}"): pathRemaps in tools/build.mjs misses it.`,
      );
    }
  }
}

/**
 * Starts the module once, with its glue. A wasm-opt that does not know the features in use makes a
 * module that is valid and dies in its first instruction.
 *
 * @param {string} name
 * @param {Buffer} wasm
 * @param {string} glueFile
 */
async function assertStarts(name, wasm, glueFile) {
  const module = new WebAssembly.Module(new Uint8Array(wasm));
  const namespace = `./${name}_bg.js`;
  const foreign = WebAssembly.Module.imports(module).find((each) => each.module !== namespace);
  if (foreign !== undefined) {
    throw new Failure(
      `${name}.wasm imports ${foreign.name} from "${foreign.module}": some crate is not made for the web.`,
    );
  }
  for (const section of ["name", "producers"]) {
    if (WebAssembly.Module.customSections(module, section).length === 0) continue;
    throw new Failure(
      `${name}.wasm still has its section "${section}": add the wasm-opt flag that strips it to wasm-pack.toml.`,
    );
  }
  const glue = await import(`${pathToFileURL(glueFile).href}?${sha256(wasm)}`);
  try {
    const { exports } = new WebAssembly.Instance(module, { [namespace]: glue });
    glue.__wbg_set_wasm(exports);
    /** @type {{ __wbindgen_start?: () => void }} */ (exports).__wbindgen_start?.();
  } catch (error) {
    throw new Failure(`${name}.wasm does not start after wasm-opt: ${error}`);
  }
}

/**
 * @param {string} name
 * @param {Buffer} wasm
 * @param {string} inline
 */
async function assertRoundTrip(name, wasm, inline) {
  const decoded = await import(`data:text/javascript,${encodeURIComponent(inline)}`);
  if (!wasm.equals(decoded.wasmBytes()))
    throw new Failure(`${name}.inline.js does not give back the bytes of ${name}.wasm.`);
}

/**
 * @param {string} name
 * @param {string} generated what wasm-bindgen says of the functions and classes it exports
 */
function glueTypes(name, generated) {
  return `${generated.trimEnd()}\n${makeGlueTypes(`${name}_bg.js`)}`;
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./lib/terminal.mjs").Step} it
 */
async function buildFacade(env, it) {
  const outputs = facadeOutputs();
  if (outputs.length === 0) throw new Failure("npm/ holds no TypeScript.");
  const stamp = join(stateDir, "facade.stamp.json");
  const types = filesBelow([wasmDir]).filter((file) => file.endsWith(".d.ts"));
  const projects = ["tsconfig.json", "tsconfig.node.json"];
  const inputs = fingerprint(
    [facadeDir, ...projects.map((project) => join(root, project)), ...types],
    { typescript: versionOf("typescript") },
  );
  if (isUpToDate(stamp, inputs)) {
    it.detail("unchanged");
    return;
  }
  forget(stamp);
  // One after the other: what runs in Node imports the entries that the first one makes.
  for (const project of projects) {
    await mustRun(
      "TypeScript found mistakes in npm/.",
      "tsc",
      ["-p", project, "--pretty", "false"],
      { cwd: root, env, log: join(logDir, `build-facade-${project}.log`) },
    );
  }
  remember(stamp, inputs, outputs);
}

/**
 * @param {readonly import("./lib/matrix.mjs").Artefact[]} artefacts
 * @param {import("./setup.mjs").Tools} tools
 * @param {import("./lib/terminal.mjs").Step} it
 */
async function buildEntries(artefacts, tools, it) {
  const outputs = secondOutputs(artefacts);
  const stamp = join(stateDir, "entries.stamp.json");
  const inputs = fingerprint(
    [
      ...modules(artefacts),
      fileURLToPath(import.meta.url),
      join(root, "tools", "lib", "entries.mjs"),
    ],
    { artefacts, versions: recorded(artefacts, tools) },
  );
  if (isUpToDate(stamp, inputs)) {
    it.detail("unchanged");
    return;
  }
  forget(stamp);
  const { transform } = await import("esbuild");
  for (const file of filesBelow([distDir]).filter((file) => outputs.includes(twinOf(file)))) {
    mkdirSync(dirname(twinOf(file)), { recursive: true });
    if (file.endsWith(".d.ts")) {
      copyFileSync(file, twinOf(file));
      continue;
    }
    const { code } = await transform(readFileSync(file, "utf8"), {
      format: "cjs",
      platform: "node",
      target: "es2022",
      // Test runners that know require() only cannot import().
      supported: { "dynamic-import": false },
    });
    writeFileSync(twinOf(file), code);
  }
  writeFileSync(join(distDir, "cjs", "package.json"), '{ "type": "commonjs" }\n');
  writeFileSync(
    join(distDir, "build.json"),
    `${JSON.stringify(recorded(artefacts, tools), null, 2)}\n`,
  );
  remember(stamp, inputs, outputs);
}

/**
 * Before the facade: what runs in Node alone imports the entries by their names.
 *
 * @param {readonly import("./lib/matrix.mjs").Artefact[]} artefacts
 */
function writeEntries(artefacts) {
  mkdirSync(distDir, { recursive: true });
  for (const artefact of artefacts) {
    for (const [name, text] of Object.entries(entryFiles(artefact))) {
      const file = join(distDir, name);
      if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
    }
  }
}

/**
 * With what the package was made, for whoever wants to make the same again.
 *
 * @param {readonly import("./lib/matrix.mjs").Artefact[]} artefacts
 * @param {import("./setup.mjs").Tools} tools
 */
function recorded(artefacts, tools) {
  const [, rustc = ""] = /^release: (.*)$/m.exec(tools.rustc) ?? [];
  const [, commit = ""] = /^commit-hash: (.*)$/m.exec(tools.rustc) ?? [];
  return {
    tools: {
      rustc: `${rustc} ${commit}`.trim(),
      library: tools.librarySource ? "compiled with it" : "as distributed",
      ...tools.versions,
      binaryen: versionOf("binaryen"),
      esbuild: versionOf("esbuild"),
      typescript: versionOf("typescript"),
    },
    artefacts: Object.fromEntries(
      artefacts.map(({ name, features, profile, wasmOpt }) => [
        name,
        { features, profile, wasmOpt, sha256: sha256(readFileSync(outputsOf(name).wasm)) },
      ]),
    ),
  };
}

/** @param {string} name of an npm package */
function versionOf(name) {
  return JSON.parse(readFileSync(join(nodeModules, name, "package.json"), "utf8")).version;
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`;
}

if (isMain(import.meta.url)) {
  await runMain(async () => {
    await build();
  });
}
