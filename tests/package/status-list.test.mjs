// Lists of tokens that an issuer took back (draft-ietf-oauth-status-list), over the package as it is
// installed. Every rule of a list is looked at in tests/flows/guard_status.rs.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { deflateSync } from "node:zlib";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let createGuard;
before(async () => {
  const { project } = installPackage("status-list");
  const file = join(project, "node_modules/gatepass/dist/guard.js");
  ({ createGuard } = await import(pathToFileURL(file).href));
});

const URI = "https://as.example/lists/1";

/** A provider with a list of a thousand tokens, of which these are taken back. */
async function startLists(takenBack, edit = (claims) => claims) {
  const now = Math.floor(Date.now() / 1000);
  const asked = [];
  let answer = () => undefined;
  const provider = await makeProvider({
    answer: (url, init) => {
      if (url !== URI) return undefined;
      asked.push(init);
      return answer();
    },
  });
  const publish = async (places) => {
    const bytes = new Uint8Array(125);
    for (const place of places) bytes[place >> 3] |= 1 << (place & 7);
    const lst = deflateSync(bytes, { level: 9 }).toString("base64url");
    const claims = { sub: URI, iat: now, exp: now + 3600, status_list: { bits: 1, lst } };
    const text = await provider.signer.sign(edit(claims), { typ: "statuslist+jwt" });
    const headers = { "content-type": "application/statuslist+jwt" };
    answer = () => new Response(text, { headers });
  };
  await publish(takenBack);
  const { issuer, audience, fetch } = provider;
  const options = { issuer, audience, fetch };
  const token = (idx) => provider.accessToken({ status: { status_list: { idx, uri: URI } } });
  return { options, token, asked, publish, fail: (how) => (answer = how) };
}

test("clm_56 a token that its issuer took back is token_inactive, and one list serves them all", async () => {
  const { options, token, asked } = await startLists([3, 999]);
  const events = [];
  const guard = await createGuard({
    ...options,
    statusList: true,
    onEvent: (event) => events.push(event),
  });
  const tokens = await Promise.all([0, 3, 999, 1000, 4].map(token));
  const codes = await Promise.all(
    tokens.map((one) =>
      guard.verify(one).then(
        ({ subject }) => subject,
        ({ code }) => code,
      ),
    ),
  );
  assert.deepEqual(codes, ["alice", "token_inactive", "token_inactive", "token_inactive", "alice"]);
  assert.equal(asked.length, 1);
  assert.equal(new Headers(asked[0].headers).get("accept"), "application/statuslist+jwt");
  assert.ok(events.some(({ purpose }) => purpose === "status_list"));
  const headers = new Headers({ authorization: `Bearer ${tokens[1]}` });
  const { response } = await guard.check({ headers });
  assert.equal(response.status, 401);
  guard.dispose();
});

test("clm_56 a list that cannot be had or believed is keys_unavailable, and 503", async () => {
  for (const [edit, how] of [
    [(claims) => ({ ...claims, sub: "https://as.example/lists/2" })],
    [(claims) => ({ ...claims, exp: claims.iat - 60 })],
    [({ status_list, ...claims }) => ({ ...claims, status_list: { ...status_list, bits: 3 } })],
    [
      (claims) => {
        const lst = deflateSync(new Uint8Array(1024 * 1024 + 1)).toString("base64url");
        return { ...claims, status_list: { bits: 1, lst } };
      },
    ],
    [(claims) => claims, () => new Response("", { status: 503 })],
    [(claims) => claims, () => Promise.reject(new TypeError("no network"))],
  ]) {
    const { options, token, fail } = await startLists([], edit);
    if (how) fail(how);
    const guard = await createGuard({ ...options, statusList: { maxAge: 60 } });
    const headers = new Headers({ authorization: `Bearer ${await token(0)}` });
    const { refusal, response } = await guard.check({ headers });
    assert.deepEqual([refusal?.code, response.status], ["keys_unavailable", 503]);
    guard.dispose();
  }
});

test("a token that was accepted is looked up again once its list is over", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const { options, token, asked, publish } = await startLists([]);
  const guard = await createGuard({ ...options, statusList: { maxAge: 60 } });
  const one = await token(7);
  for (let n = 0; n < 3; n++) assert.equal((await guard.verify(one)).subject, "alice");
  await publish([7]);
  t.mock.timers.tick(59_000);
  assert.equal((await guard.verify(one)).subject, "alice");
  assert.equal(asked.length, 1);
  t.mock.timers.tick(1000);
  await assert.rejects(guard.verify(one), { code: "token_inactive" });
  assert.equal(asked.length, 2);
  guard.dispose();
});

test("without the option nobody is asked, and one that is none is refused by its name", async () => {
  const { options, token, asked } = await startLists([7]);
  const guard = await createGuard(options);
  assert.equal((await guard.verify(await token(7))).subject, "alice");
  assert.equal(asked.length, 0);
  guard.dispose();
  for (const statusList of [1, "yes", { maxAge: 0 }, { maxAge: 100_000 }, { ttl: 1 }]) {
    await assert.rejects(createGuard({ ...options, statusList }), { code: "config_invalid" });
  }
});
