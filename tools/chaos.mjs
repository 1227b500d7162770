// The chaos test for as long as one likes: six tabs of one origin in real Chromium, closed, frozen,
// cut off and slow at random, whose session must survive.
//
//   npm run chaos                        10,000 rounds in three storms at once, about half an hour
//   npm run chaos -- ROUNDS SEED STORMS  as many from this seed, as a failure names it
//
// `npm test -- chaos` runs 500 rounds.

import { spawn } from "node:child_process";

import { build } from "./build.mjs";
import { Failure, runMain } from "./lib/failure.mjs";
import { root } from "./lib/paths.mjs";
import { heading } from "./lib/terminal.mjs";
import { setup } from "./setup.mjs";

await runMain(async () => {
  const [rounds = "10000", seed = String(Date.now() % 1_000_000), storms = "3"] =
    process.argv.slice(2);
  if (!/^[1-9]\d*$/.test(rounds) || !/^\d+$/.test(seed) || !/^[1-9]$/.test(storms)) {
    throw new Failure("usage: npm run chaos -- ROUNDS SEED STORMS");
  }
  const { env, chromium } = await setup({ browser: true });
  await build();
  heading(`Chaos, ${rounds} rounds in ${storms} storms from seed ${seed}`);
  const child = spawn(
    process.execPath,
    ["--test", "--test-reporter=spec", "tests/chaos/chaos.test.mjs"],
    {
      cwd: root,
      env: {
        ...env,
        CHROME: chromium,
        CHAOS_ROUNDS: rounds,
        CHAOS_SEED: seed,
        CHAOS_STORMS: storms,
      },
      stdio: "inherit",
    },
  );
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => resolve(code === 0));
  });
});
