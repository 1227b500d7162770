// Measures the guard beside other libraries and beside the host's crypto alone, in one run, and
// prints medians and ratios as a table and as JSON.
//
//   npm run bench                      contest and curves in every runtime that is there
//   npm run bench -- workerd cold      some of it: names of runtimes, cold, curves, overhead
//   npm run bench -- --memory          also a million distinct tokens through one guard
//
// Deno and Bun come with the libraries, from npm; on a machine that they do not run on they are
// skipped. Nothing here fails because of a number.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { delimiter, join } from "node:path";

import { compare } from "../benches/contest.mjs";
import { build } from "./build.mjs";
import { runMain } from "./lib/failure.mjs";
import { root, stateDir } from "./lib/paths.mjs";
import { bold, heading } from "./lib/terminal.mjs";
import { setup } from "./setup.mjs";

const folder = join(root, "benches");
const PATH = [join(folder, "node_modules/.bin"), process.env["PATH"]].join(delimiter);

/** What a program prints, or nothing when it is not there. */
function ask(program, ...args) {
  try {
    return execFileSync(program, args, {
      cwd: root,
      env: { ...process.env, PATH },
      encoding: "utf8",
      maxBuffer: 2 ** 26,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function installLibraries() {
  if (existsSync(join(folder, "node_modules/bun"))) return;
  heading("Libraries to compare with");
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder];
  execFileSync("npm", args, { cwd: folder, stdio: "inherit" });
}

/** The runtimes that run a file; asked for when the libraries are there. */
const runtimes = () => [
  {
    name: `Node ${process.versions.node}`,
    run: (...words) => ask(process.execPath, join(folder, "run.mjs"), ...words),
  },
  {
    name: (ask("deno", "--version") ?? "Deno").split("\n")[0].replace(/^deno (\S+).*/, "Deno $1"),
    run: (...words) => ask("deno", "run", "-A", join(folder, "run.mjs"), ...words),
  },
  {
    name: `Bun ${(ask("bun", "--version") ?? "").trim()}`.trim(),
    run: (...words) => ask("bun", join(folder, "run.mjs"), ...words),
  },
];

/** A project with the package, the libraries and the contest in it. */
async function installContest(file) {
  const { installPackage } = await import("../tests/support/installed.mjs");
  const { project } = installPackage("bench");
  for (const name of ["hono", "jose"]) {
    symlinkSync(join(folder, "node_modules", name), join(project, "node_modules", name));
  }
  for (const name of ["contest.mjs", file]) copyFileSync(join(folder, name), join(project, name));
  copyFileSync(join(root, "tests/support/provider.mjs"), join(project, "provider.mjs"));
  return project;
}

/** The contest in Chromium. */
async function inChromium(executable) {
  process.env["CHROME"] = executable;
  const { build: bundle } = await import("esbuild");
  const { launch } = await import("../tests/support/browser.mjs");
  const project = await installContest("page.mjs");
  const { outputFiles } = await bundle({
    entryPoints: [join(project, "page.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  const browser = await launch();
  try {
    const page = await browser.newPage();
    const html = `<!doctype html><script type="module" src="/page.js"></script>`;
    await page.route("**/*", (route) =>
      route.request().url().endsWith("/page.js")
        ? route.fulfill({ contentType: "text/javascript", body: outputFiles[0].text })
        : route.fulfill({ contentType: "text/html", body: html }),
    );
    await page.goto("https://app.example/");
    await page.waitForFunction(() => "contest" in globalThis);
    const results = {};
    for (const alg of ["ES256", "RS256"]) {
      results[alg] = await page.evaluate((name) => globalThis.contest(name), alg);
    }
    return { name: `Chromium ${browser.version()}`, results };
  } finally {
    await browser.close();
  }
}

/** The contest in workerd, with the watch held here. */
async function inWorkerd() {
  const { startWorker } = await import("../tests/support/edge.mjs");
  const project = await installContest("worker.mjs");
  const miniflare = await startWorker(project, "worker.mjs");
  try {
    const results = {};
    for (const alg of ["ES256", "RS256"]) {
      const at = (more) => miniflare.dispatchFetch(`http://worker/?alg=${alg}${more}`);
      const list = (await (await at("")).json()).map((each, index) => ({ ...each, check: index }));
      const measure = async (index, times) => {
        const timed = async (count) => {
          const begun = performance.now();
          await (await at(`&index=${index}&times=${count}`)).text();
          return performance.now() - begun;
        };
        // A request that does nothing costs as much as one that checks.
        const empty = Math.min(await timed(0), await timed(0));
        return Math.max(0.001, (await timed(times)) - empty);
      };
      results[alg] = await compare(list, measure, { rounds: 9, roundMs: 100 });
    }
    return results;
  } finally {
    await miniflare.dispose();
  }
}

const KINDS = { seen: "token seen before", new: "new token", floor: "floor" };

function print(runtime, contest) {
  for (const [alg, rows] of Object.entries(contest)) {
    process.stdout.write(`\n${bold(`${runtime}, ${alg}`)}\n`);
    for (const kind of ["seen", "new", "floor"]) {
      const own = rows.find((row) => row.kind === kind && row.name === "gatepass");
      for (const row of rows.filter((each) => each.kind === kind)) {
        const ratio = own && row !== own ? `${(row.us / own.us).toFixed(2)} x` : "";
        const cells = [KINDS[kind].padEnd(20), row.name.padEnd(32), row.us.toFixed(2).padStart(9)];
        process.stdout.write(`  ${cells.join("")} us ${ratio.padStart(9)}\n`);
      }
    }
  }
}

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const isWanted = (/** @type {string} */ name) =>
  words.length === 0 || words.some((word) => name.toLowerCase().startsWith(word));

await runMain(async () => {
  const { chromium } = await setup({ browser: true });
  await build();
  installLibraries();
  const [cpu] = cpus();
  const machine = `${cpus().length} x ${cpu?.model ?? "unknown"}, ${process.platform}`;
  heading(`Bench on ${machine}`);
  const report = { machine, date: new Date().toISOString().slice(0, 10), runtimes: {} };
  const list = runtimes();
  for (const { name, run } of list.filter((each) => isWanted(each.name))) {
    const text = run("contest");
    if (text === undefined) {
      process.stdout.write(`\nskipped: ${name} does not run here\n`);
      continue;
    }
    const { contest } = JSON.parse(text);
    report.runtimes[name] = contest;
    print(name, contest);
  }
  if (isWanted("workerd")) {
    report.runtimes["workerd"] = await inWorkerd();
    print("workerd", report.runtimes["workerd"]);
  }
  if (!isWanted("chromium")) {
    // Nobody asked.
  } else if (chromium === undefined) {
    process.stdout.write("\nskipped: Chromium is not there\n");
  } else {
    const { name, results } = await inChromium(chromium);
    report.runtimes[name] = results;
    print(name, results);
  }

  if (isWanted("cold")) {
    const { coldStart } = await import("../benches/cold.mjs");
    report.coldStart = await coldStart(await installContest("worker.mjs"));
    const { emptyMs, givenMs, fetchedMs, isolates } = report.coldStart;
    process.stdout.write(`\n${bold(`Cold start, workerd, ${isolates} isolates`)}\n`);
    process.stdout.write(`  an empty isolate ${emptyMs.toFixed(1)} ms, to the first verdict`);
    process.stdout.write(` ${givenMs.toFixed(1)} ms more with the keys given`);
    process.stdout.write(`, ${fetchedMs.toFixed(1)} with keys that are fetched\n`);
  }

  const [node] = list;
  if (isWanted("curves")) {
    const { curves, coldRequests } = JSON.parse(node.run("curves"));
    Object.assign(report, { curves, coldRequests });
    process.stdout.write(`\n${bold("Curves, Node, ES256")}\n`);
    for (const [line, points] of Object.entries(curves)) {
      const text = points.map(({ count, us }) => `${count}: ${us.toFixed(2)} us`).join("   ");
      process.stdout.write(`  ${line.padEnd(10)}${text}\n`);
    }
    process.stdout.write(`  first requests that come together: ${JSON.stringify(coldRequests)}\n`);
  }
  if (isWanted("overhead")) {
    ({ overhead: report.overhead } = JSON.parse(node.run("overhead")));
    const parts = Object.entries(report.overhead).map(
      ([name, us]) => `${name} ${us.toFixed(1)} us`,
    );
    process.stdout.write(
      `\n${bold("Beside the signature, Node, ES256")}\n  ${parts.join("   ")}\n`,
    );
  }
  if (process.argv.includes("--memory")) {
    ({ memory: report.memory } = JSON.parse(node.run("memory=1000000")));
    process.stdout.write(`  a million tokens: ${JSON.stringify(report.memory)}\n`);
  }
  const file = join(stateDir, "bench.json");
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(file, JSON.stringify(report, null, 2));
  process.stdout.write(`\nAs JSON: ${file.replace(`${root}/`, "")}\n`);
});
