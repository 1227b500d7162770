// A bounded load on `gatepass serve`: npm run bench:serve. Nothing here fails because of a number.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";

import { build } from "./build.mjs";
import { runMain } from "./lib/failure.mjs";
import { root, stateDir } from "./lib/paths.mjs";
import { heading } from "./lib/terminal.mjs";

const folder = join(root, "benches");

await runMain(async () => {
  await build();
  if (!existsSync(join(folder, "node_modules/autocannon"))) {
    const args = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder];
    execFileSync("npm", args, { cwd: folder, stdio: "inherit" });
  }
  const [cpu] = cpus();
  heading(
    `gatepass serve on ${cpus().length} x ${cpu?.model ?? "unknown"}, Node ${process.version}`,
  );
  const [minute = 0, five = 0] = loadavg();
  const loads = `${minute.toFixed(1)}, ${five.toFixed(1)}`;
  const stdio = ["ignore", "pipe", "inherit"];
  const text = execFileSync(process.execPath, [join(folder, "serve.mjs")], {
    stdio,
  });
  const results = JSON.parse(text.toString());
  const row = (name, { requests, errors, perSecond, perCore, ms, stolen }) => {
    const times = [ms.p50, ms.p95, ms.p99].map((one) => one.toFixed(2));
    const core = Number.isFinite(perCore) ? perCore : "-";
    const share = Number.isFinite(stolen) ? `${(100 * stolen).toFixed(1)} %` : "-";
    const numbers = [requests, errors, perSecond, core, ...times, share];
    const cells = numbers.map((number) => String(number).padStart(10)).join("");
    process.stdout.write(`  ${name.padEnd(32)}${cells}\n`);
  };
  process.stdout.write(
    `  ${results.warmUp} requests warm each service up before the rows; load of the machine: ${loads}\n`,
  );
  const names = ["requests", "errors", "per s", "per core", "p50 ms", "p95 ms", "p99 ms", "stolen"];
  process.stdout.write(`  ${"".padEnd(32)}${names.map((name) => name.padStart(10)).join("")}\n`);
  row("100 clients, 10 requests each", results.seed);
  row("cached", results.cached);
  row("cached, every decision logged", results.cachedLogged);
  row("uncached, provider takes 1 ms", results.uncached);
  row("uncached, provider takes 0 ms", results.uncachedAtOnce);
  process.stdout.write(`
  own share of an uncached decision  ${results.ownShareMs.toFixed(2)} ms
  the same, provider takes 0 ms      ${results.ownShareAtOnceMs.toFixed(2)} ms
  resident with 10,000 cached tokens ${results.memoryMb.toFixed(0)} MB
  from start to listening            ${results.startMs} ms
`);
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(join(stateDir, "bench-serve.json"), JSON.stringify(results, null, 2));
});
