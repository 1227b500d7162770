// The session of six tabs in bad weather, in real Chromium. How many rounds and from which seed, the
// environment may say; `npm run chaos` says ten thousand.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launchTabs } from "../support/tabs.mjs";
import { storm } from "./storm.mjs";

const ROUNDS = Number(process.env["CHAOS_ROUNDS"] ?? 500);
const SEED = Number(process.env["CHAOS_SEED"] ?? 1);

let launched;
before(async () => {
  launched = await launchTabs("chaos");
});
after(() => launched?.browser.close());

test(`${ROUNDS} rounds: no refresh token is used twice, no tab is stuck, no session is lost`, async (t) => {
  const counts = await storm(launched, {
    rounds: ROUNDS,
    seed: SEED,
    tell: (line) => t.diagnostic(line),
  });
  t.diagnostic(`seed ${SEED}: ${JSON.stringify(counts)}`);
  assert.equal(counts.reuses, 0);
  assert.equal(counts.rounds, ROUNDS);
  // The weather was bad.
  for (const trouble of ["closed", "reloaded", "frozen", "offline", "failed", "lost"]) {
    assert.ok(counts[trouble] >= ROUNDS / 100, `${counts[trouble]} ${trouble}`);
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
