// What a receiver of logout tokens does, for every runtime that has one.

const EVENT = "http://schemas.openid.net/event/backchannel-logout";

/** A logout token of the provider, which is good until a test says otherwise. */
export function logoutToken({ issuer, clientId, signer }, claims = {}, header = {}) {
  const now = Math.floor(Date.now() / 1000);
  const { jti = `logout-${crypto.randomUUID()}` } = claims;
  const good = { iss: issuer, aud: clientId, sub: "alice", sid: "s-1", iat: now, exp: now + 120 };
  return signer.sign({ ...good, jti, events: { [EVENT]: {} }, ...claims }, header);
}

/** A request of the provider with this token. */
export const logoutRequest = (token, init = {}) =>
  new Request("https://app.example/backchannel", {
    method: "POST",
    body: new URLSearchParams({ logout_token: token }),
    ...init,
  });

const shown = async (response) => ({
  status: response.status,
  cacheControl: response.headers.get("cache-control"),
  body: await response.text(),
});

/** Signs alice out, then tries what a provider would never send. */
export async function logoutScenario({ createLogoutReceiver }, makeProvider) {
  const provider = await makeProvider();
  const { issuer, clientId, fetch } = provider;
  const receiver = await createLogoutReceiver({ issuer, clientId, fetch });
  const ended = [];
  const receive = async (request) =>
    shown(await receiver.receive(request, ({ iss, sub, sid }) => ended.push({ iss, sub, sid })));

  const token = await logoutToken(provider, {}, { typ: "logout+jwt" });
  const accepted = await receive(logoutRequest(token));
  const replayed = await receive(logoutRequest(token));
  const withNonce = await receive(logoutRequest(await logoutToken(provider, { nonce: "n" })));
  const forOthers = await receive(logoutRequest(await logoutToken(provider, { aud: "other" })));
  const byGet = await receive(new Request("https://app.example/backchannel"));

  const failing = await receiver.receive(logoutRequest(await logoutToken(provider)), () => {
    throw new Error("the store of sessions is down");
  });
  const failed = await shown(failing);

  const bySubject = await receiver.checkLogoutToken(
    await logoutToken(provider, { sid: undefined, jti: "by-subject" }),
  );
  const { ends, ...told } = bySubject;
  const mine = { iss: issuer, sub: "alice", sid: "any" };
  const result = {
    accepted,
    ended,
    replayed,
    withNonce,
    forOthers,
    byGet,
    failed,
    told,
    ends: [ends(mine), ends({ ...mine, sub: "bob" }), ends({ ...mine, iss: "https://b.example" })],
    keys: provider.count("/jwks"),
  };
  receiver.dispose();
  return result;
}

const refused = {
  status: 400,
  cacheControl: "no-store",
  body: '{"error":"invalid_request"}',
};

export const EXPECTED_LOGOUT = {
  accepted: { status: 200, cacheControl: "no-store", body: "" },
  ended: [{ iss: "https://as.example", sub: "alice", sid: "s-1" }],
  replayed: refused,
  withNonce: refused,
  forOthers: refused,
  byGet: { ...refused, status: 405 },
  failed: { ...refused, body: '{"error":"logout_failed"}' },
  told: {
    iss: "https://as.example",
    sub: "alice",
    jti: "by-subject",
    checks: ["signature ES256", "iss", "aud", "exp", "iat", "sub", "events", "nonce", "jti"],
  },
  ends: [true, false, false],
  keys: 1,
};
