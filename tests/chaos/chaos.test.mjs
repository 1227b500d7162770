// The session of six tabs in bad weather, in real Chromium. How many rounds and from which seed, the
// environment may say; `npm run chaos` says ten thousand.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "../support/browser.mjs";
import { launchTabs } from "../support/tabs.mjs";
import { storm } from "./storm.mjs";

const ROUNDS = Number(process.env["CHAOS_ROUNDS"] ?? 500);
const SEED = Number(process.env["CHAOS_SEED"] ?? 1);
/** How many storms share the rounds, each in a browser of its own: most of a storm is waiting. */
const STORMS = Number(process.env["CHAOS_STORMS"] ?? 1);

let launched;
const more = [];
before(async () => {
  launched = await launchTabs("chaos");
  while (more.length < STORMS - 1) more.push(await launch());
});
after(() => Promise.all([launched?.browser, ...more].map((browser) => browser?.close())));

test(`${ROUNDS} rounds: no refresh token is used twice, no tab is stuck, no session is lost, no sign-out undone`, async (t) => {
  const counts = {};
  const one = async (browser, index) => {
    const seed = SEED + index;
    const given = { rounds: Math.ceil(ROUNDS / STORMS), seed };
    const trail = [];
    const tell = (line) => trail.push(line);
    const found = await storm({ ...launched, browser }, { ...given, tell }).catch((error) => {
      throw new Error([error.message, ...trail].join("\n"), { cause: error });
    });
    t.diagnostic(`seed ${seed}: ${JSON.stringify(found)}`);
    assert.equal(found.reuses, 0, [`seed ${seed}: a reuse`, ...trail].join("\n"));
    for (const [name, count] of Object.entries(found)) counts[name] = (counts[name] ?? 0) + count;
  };
  const ended = await Promise.allSettled([launched.browser, ...more].map(one));
  const faults = ended.flatMap(({ reason }) => (reason ? [reason.message] : []));
  assert.equal(faults.length, 0, faults.join("\n"));
  assert.ok(counts.rounds >= ROUNDS, `${counts.rounds} rounds`);
  // The weather was bad.
  for (const trouble of ["closed", "reloaded", "frozen", "offline", "failed", "lost"]) {
    assert.ok(counts[trouble] >= ROUNDS / 100, `${counts[trouble]} ${trouble}`);
  }
  for (const trouble of ["hung", "crashed", "left"]) {
    assert.ok(counts[trouble] >= ROUNDS / 500, `${counts[trouble]} ${trouble}`);
  }
  assert.ok(counts.refreshes >= ROUNDS / 2, `${counts.refreshes} refreshes`);
});

test("without the lock a storm finds what it looks for", async (t) => {
  const prepare = (page) =>
    page.addInitScript(() => {
      const request = (_name, options, work) => (work ?? options)({});
      const query = async () => ({ held: [], pending: [] });
      Object.defineProperty(Navigator.prototype, "locks", { value: { request, query } });
    });
  const found = await storm(launched, { rounds: 200, seed: SEED, prepare }).then(
    ({ reuses }) => `${reuses} reused`,
    ({ message }) => message,
  );
  t.diagnostic(found);
  assert.match(found, /^[1-9]\d* reused$|lost the session/);
});
