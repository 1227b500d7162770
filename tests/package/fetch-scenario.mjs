// What `client.fetch` does with an API that refuses, redirects and lies, in any runtime.

const API = "https://api.example";

/**
 * @param {Function} createClient
 * @param {Function} makeProvider of tests/support/provider.mjs
 */
export async function fetchScenario(createClient, makeProvider) {
  const provider = await makeProvider();
  const seen = [];
  let answer = () => new Response("fine");
  let late;

  const client = await createClient({
    issuer: provider.issuer,
    clientId: provider.clientId,
    redirectUri: provider.redirectUri,
    scope: "openid read",
    allowedOrigins: API,
    transactionStore: memory(),
    async fetch(input, init) {
      if (typeof input === "string") return provider.fetch(input, init);
      const { url, method } = input;
      const token = input.headers.get("authorization");
      const [cookie, type] = ["cookie", "content-type"].map((name) => input.headers.get(name));
      seen.push({ url, method, token, cookie, type, body: await input.text() });
      return answer(seen.at(-1), seen.length);
    },
  });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));

  const refreshes = () => provider.count("/token");
  const refused = (challenge, status = 401) =>
    new Response("no", { status, headers: challenge ? { "www-authenticate": challenge } : {} });
  const INVALID = 'Bearer error="invalid_token"';
  const good = async () => `Bearer ${await client.accessToken()}`;

  /** Runs one case: its result, how often the API and the token endpoint were asked. */
  async function play(work, behave = () => new Response("fine")) {
    seen.length = 0;
    answer = behave;
    const before = refreshes();
    const result = await work().catch(({ code, details }) => ({ code, details }));
    return { result, calls: seen.length, refreshes: refreshes() - before };
  }
  const status = async (...args) => (await client.fetch(...args)).status;
  const post = { method: "POST", body: "text" };

  const results = {};
  results.allowed = await play(async () => {
    await client.fetch(`${API}/me?x=1`);
    return seen[0].token === (await good());
  });
  results.others = await play(async () => {
    for (const url of ["https://other.example/", "https://api.example.evil/", `${API}:444/`]) {
      await client.fetch(url);
    }
    return seen.map(({ token }) => token);
  });
  results.ownHeader = await play(async () => {
    await client.fetch(API, { headers: { authorization: "Basic eDp5" } });
    return seen[0].token;
  });
  results.renewed = await play(
    () => status(API, post),
    (_, calls) => (calls === 1 ? refused(INVALID) : new Response("fine")),
  );
  results.renewedSent = [seen[0].body, seen[1].body, seen[0].token === seen[1].token];
  results.stays401 = await play(
    () => status(API),
    () => refused(INVALID),
  );
  results.stream = await play(
    () => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("once"));
          controller.close();
        },
      });
      return status(API, { method: "POST", body, duplex: "half" });
    },
    () => refused(INVALID),
  );
  results.requestObject = await play(
    () => status(new Request(API, post)),
    () => refused(INVALID),
  );
  results.late = await play(
    async () => {
      const sent = status(API);
      while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      // Somebody renews while the answer is under way.
      await client.refresh();
      const [{ token }] = seen;
      late(refused(INVALID));
      return [await sent, seen[1].token === (await good()), seen[1].token === token];
    },
    (_, calls) => (calls === 1 ? new Promise((resolve) => (late = resolve)) : new Response("fine")),
  );
  results.noChallenge = await play(
    () => status(API),
    () => refused(),
  );
  results.otherScheme = await play(
    () => status(API),
    () => refused('Basic realm="x"'),
  );
  let old;
  results.fifty = await play(
    async () => {
      old = await good();
      const all = await Promise.all(Array.from({ length: 50 }, () => status(API)));
      return all.every((one) => one === 200);
    },
    ({ token }) => (token === old ? refused(INVALID) : new Response("fine")),
  );
  results.scope = await play(
    () => status(API),
    ({ token }) => {
      // Some repeat what they were shown.
      const why = `not with ${token.slice("Bearer ".length)}`;
      const challenge = `error="insufficient_scope", error_description="${why}", scope="admin"`;
      return refused(`Bearer ${challenge}`, 403);
    },
  );
  results.forbidden = await play(
    () => status(API),
    () => refused(undefined, 403),
  );
  results.stepUp = await play(
    () => status(API),
    () =>
      refused('Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="60"'),
  );
  const redirect = (to, code) => new Response(null, { status: code, headers: { location: to } });
  results.redirectAway = await play(
    async () => [await status(API), seen.map(({ token }) => token !== null)],
    (_, calls) => (calls === 1 ? redirect("https://other.example/", 302) : new Response("fine")),
  );
  results.redirectRefused = await play(
    () => status(API),
    (_, calls) => (calls === 1 ? redirect("https://other.example/", 302) : refused(INVALID)),
  );
  results.redirectForbidden = await play(
    () => status(API),
    (_, calls) =>
      calls === 1
        ? redirect("https://other.example/", 302)
        : refused('Bearer error="insufficient_scope", scope="admin"', 403),
  );
  results.redirectAwayAndBack = await play(
    async () => [
      await status(API, { headers: { cookie: "a=b" } }),
      seen.map(({ url, token, cookie }) => [url, token !== null, cookie]),
    ],
    (_, calls) =>
      [redirect("https://other.example/", 302), redirect(`${API}/back`, 302)][calls - 1] ??
      new Response("fine"),
  );
  results.redirectWithin = await play(
    async () => [
      await status(API, post),
      seen.map(({ url, method, body, type, token }) => [
        url,
        method,
        body,
        type !== null,
        token !== null,
      ]),
    ],
    (_, calls) => (calls === 1 ? redirect("/next", 303) : new Response("fine")),
  );
  results.redirectBody = await play(
    () => status(API, post),
    () => redirect("https://other.example/", 307),
  );
  results.redirectLoop = await play(
    () => status(API).catch((error) => error.name),
    () => redirect("/again", 302),
  );
  results.redirectScheme = await play(
    () => status(API).catch((error) => error.name),
    () => redirect("data:text/plain,from%20nowhere", 302),
  );
  results.redirected = await play(
    async () => [(await client.fetch(API)).redirected, (await client.fetch(API)).redirected],
    (_, calls) => (calls === 1 ? redirect("/next", 302) : new Response("fine")),
  );
  results.abortedBefore = await play(() => {
    const signal = AbortSignal.abort(new RangeError("given up"));
    return status(API, { signal }).catch((error) => error.name);
  });
  await client.signOutUrl();
  results.signedOut = await play(() => status(API));
  results.signedOutElsewhere = await play(() => status("https://other.example/"));
  return results;
}

function memory() {
  const map = new Map();
  return { get: (key) => map.get(key), set: (key, value) => void map.set(key, value) };
}

const once = (result, refreshes = 0) => ({ result, calls: 1, refreshes });

/** What every runtime must answer. */
export const EXPECTED_FETCH = {
  allowed: once(true),
  others: { result: [null, null, null], calls: 3, refreshes: 0 },
  ownHeader: once("Basic eDp5"),
  renewed: { result: 200, calls: 2, refreshes: 1 },
  renewedSent: ["text", "text", false],
  stays401: { result: 401, calls: 2, refreshes: 1 },
  stream: once(401, 1),
  requestObject: once(401, 1),
  late: { result: [200, true, false], calls: 2, refreshes: 1 },
  noChallenge: once(401),
  otherScheme: once(401),
  fifty: { result: true, calls: 100, refreshes: 1 },
  scope: once({
    code: "scope_insufficient",
    details: {
      status: 403,
      error: "insufficient_scope",
      errorDescription: "not with ...",
      scope: "admin",
    },
  }),
  forbidden: once(403),
  stepUp: once({
    code: "step_up_required",
    details: {
      status: 401,
      error: "insufficient_user_authentication",
      acrValues: "mfa",
      maxAge: 60,
    },
  }),
  redirectAway: { result: [200, [true, false]], calls: 2, refreshes: 0 },
  redirectRefused: { result: 401, calls: 2, refreshes: 0 },
  redirectForbidden: { result: 403, calls: 2, refreshes: 0 },
  redirectAwayAndBack: {
    result: [
      200,
      [
        ["https://api.example/", true, "a=b"],
        ["https://other.example/", false, null],
        ["https://api.example/back", false, null],
      ],
    ],
    calls: 3,
    refreshes: 0,
  },
  redirectWithin: {
    result: [
      200,
      [
        ["https://api.example/", "POST", "text", true, true],
        ["https://api.example/next", "GET", "", false, true],
      ],
    ],
    calls: 2,
    refreshes: 0,
  },
  redirectBody: once(307),
  redirectLoop: { result: "TypeError", calls: 21, refreshes: 0 },
  redirectScheme: once("TypeError"),
  redirected: { result: [true, false], calls: 3, refreshes: 0 },
  abortedBefore: { result: "RangeError", calls: 0, refreshes: 0 },
  signedOut: { result: { code: "login_required" }, calls: 0, refreshes: 0 },
  signedOutElsewhere: once(200),
};
