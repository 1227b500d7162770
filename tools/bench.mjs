// Measures the guard beside other libraries and beside the host's crypto alone, in one run, and
// prints medians and ratios as a table and as JSON.
//
//   npm run bench                      contest and curves in every runtime that is there
//   npm run bench -- --memory          also a million distinct tokens through one guard
//
// Deno and Bun run when they are found on the PATH. Nothing here fails because of a number.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";

import { compare } from "../benches/contest.mjs";
import { build } from "./build.mjs";
import { runMain } from "./lib/failure.mjs";
import { root, stateDir } from "./lib/paths.mjs";
import { bold, heading } from "./lib/terminal.mjs";

const folder = join(root, "benches");

/** What a program prints, or nothing when it is not there. */
function ask(program, ...args) {
  try {
    return execFileSync(program, args, {
      cwd: root,
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
  if (existsSync(join(folder, "node_modules/jose"))) return;
  heading("Libraries to compare with");
  const args = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", folder];
  execFileSync("npm", args, { cwd: folder, stdio: "inherit" });
}

const RUNTIMES = [
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

/** The contest in workerd, with the watch held here. */
async function inWorkerd() {
  const { startWorker } = await import("../tests/support/edge.mjs");
  const { installPackage } = await import("../tests/support/installed.mjs");
  const { project } = installPackage("bench");
  for (const name of ["hono", "jose"]) {
    symlinkSync(join(folder, "node_modules", name), join(project, "node_modules", name));
  }
  for (const name of ["contest.mjs", "worker.mjs"]) {
    copyFileSync(join(folder, name), join(project, name));
  }
  copyFileSync(join(root, "tests/support/provider.mjs"), join(project, "provider.mjs"));
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

await runMain(async () => {
  await build();
  installLibraries();
  const [cpu] = cpus();
  const machine = `${cpus().length} x ${cpu?.model ?? "unknown"}, ${process.platform}`;
  heading(`Bench on ${machine}`);
  const report = { machine, date: new Date().toISOString().slice(0, 10), runtimes: {} };
  for (const { name, run } of RUNTIMES) {
    const text = run("contest");
    if (text === undefined) {
      process.stdout.write(`\nskipped: ${name} is not on the PATH\n`);
      continue;
    }
    const { contest } = JSON.parse(text);
    report.runtimes[name] = contest;
    print(name, contest);
  }
  report.runtimes["workerd"] = await inWorkerd();
  print("workerd", report.runtimes["workerd"]);

  const [node] = RUNTIMES;
  const { curves, coldRequests } = JSON.parse(node.run("curves"));
  Object.assign(report, { curves, coldRequests });
  process.stdout.write(`\n${bold("Curves, Node, ES256")}\n`);
  for (const [line, points] of Object.entries(curves)) {
    const text = points.map(({ count, us }) => `${count}: ${us.toFixed(2)} us`).join("   ");
    process.stdout.write(`  ${line.padEnd(10)}${text}\n`);
  }
  process.stdout.write(`  first requests that come together: ${JSON.stringify(coldRequests)}\n`);
  if (process.argv.includes("--memory")) {
    ({ memory: report.memory } = JSON.parse(node.run("memory=1000000")));
    process.stdout.write(`  a million tokens: ${JSON.stringify(report.memory)}\n`);
  }
  const file = join(stateDir, "bench.json");
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(file, JSON.stringify(report, null, 2));
  process.stdout.write(`\nAs JSON: ${file.replace(`${root}/`, "")}\n`);
});
