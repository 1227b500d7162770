import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Failure } from "./failure.mjs";
import { ensurePrograms, isCI, obstacle } from "./programs.mjs";

/**
 * A PATH on which there is nginx and nothing else.
 *
 * @param {import("node:test").TestContext} t
 */
function makePath(t) {
  const folder = mkdtempSync(join(tmpdir(), "gatepass-programs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "nginx"), "#!/bin/sh\n");
  chmodSync(join(folder, "nginx"), 0o755);
  return folder;
}

test("what is missing is named outside of CI, and a failure in CI where set-up installs it", (t) => {
  const PATH = makePath(t);
  for (const CI of [undefined, "false"]) {
    assert.equal(isCI({ CI }), false);
    assert.equal(obstacle(["nginx"], { PATH, CI }), false);
    assert.equal(
      obstacle(["nginx", "redis-server", "redis-cli"], { PATH, CI }),
      "not installed: redis-server, redis-cli",
    );
  }
  const CI = "true";
  assert.equal(isCI({ CI }), true);
  assert.equal(obstacle(["nginx"], { PATH, CI }), false);
  assert.throws(
    () => obstacle(["nginx", "redis-server"], { PATH, CI }),
    (error) => error instanceof Failure && /not installed: redis-server\./.test(error.message),
  );
  assert.equal(
    obstacle(["traefik"], { PATH, CI }),
    "not installed: traefik",
    "it is no part of CI",
  );
});

test("outside of CI set-up installs nothing, and says what is missing", async (t) => {
  let told = "";
  /** @param {string} text */
  const detail = (text) => void (told += text);
  const slow = () => assert.fail("it is at work");
  await ensurePrograms({ PATH: makePath(t) }, { detail, slow });
  assert.match(told, /^not installed: .*redis-server, .*; CI=true installs them$/);
  assert.doesNotMatch(told, /nginx/);
});
