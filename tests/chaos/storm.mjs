// Tabs of one origin in bad weather: they are closed, crash, are reloaded, frozen and cut off while
// they renew one session, whose refresh tokens are good once. Now and then somebody signs out in the
// middle of it, and in again.

import { nap, openTabs } from "../support/tabs.mjs";
import { until } from "../support/until.mjs";

const TABS = 6;
/** Longer than any way out that the client has: a hanging tab loses its lock after 17 s and a bit. */
const STUCK_MS = 60_000;
/** How long one request may take; with it the client's patience with a tab that hangs. */
const TIMEOUT_S = 3;
/** What becomes of a renewal in bad weather. */
const WEATHER = ["upstream_timeout", "upstream_unreachable"];
/** One in fifteen fails: ten in a row are not the weather. */
const MOST_TRIES = 10;
/** The rounds in which a tab hangs, one crashes and somebody signs out, whatever the dice say. */
const [HANGS, CRASHES, LEAVES] = [20, 40, 30];
/** How much of what happened last is told when the session is lost. */
const TRAIL = 60;

/** Numbers from a seed (mulberry32), so that a storm can be made again. */
function makeDice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    upTo: (most) => Math.floor(next() * most),
    oneIn: (times) => next() < 1 / times,
    one: (list) => list[Math.floor(next() * list.length)],
  };
}

/**
 * @param {object} launched of launchTabs
 * @param {object} how
 * @param {number} how.rounds
 * @param {number} how.seed
 * @param {(page: import("playwright-core").Page) => Promise<void>} [how.prepare] a new page
 * @param {(counts: object) => boolean} [how.isOver] ends it before its last round
 * @param {(line: string) => void} [how.tell] hears what came before a session was lost
 * @returns {Promise<Record<string, number>>} what happened, and how often
 */
export async function storm(launched, { rounds, seed, prepare, isOver, tell }) {
  const dice = makeDice(seed);
  const counts = { rounds: 0, refreshes: 0, closed: 0, crashed: 0, reloaded: 0, frozen: 0 };
  Object.assign(counts, { hung: 0, offline: 0, left: 0 });
  Object.assign(counts, { failed: 0, lost: 0, forgiven: 0, reuses: 0 });

  const trail = [];
  const tellTrail = () => trail.forEach((line) => tell?.(line));
  const note = (what, page, use) => {
    const { token, isLost, isKept } = use ?? {};
    const of =
      token === undefined ? "" : ` ${token}${isLost ? " lost" : ""}${isKept ? " kept" : ""}`;
    trail.push(`${counts.rounds} ${Date.now() % 1e6} tab ${tabs.indexOf(page)} ${what}${of}`);
    if (trail.length > TRAIL) trail.shift();
  };
  const tabs = [];

  /**
   * The last use of each refresh token. Whoever uses one again after a tab that could not tell
   * what became of it is forgiven, as providers do that allow a token again for some seconds: a
   * tab that is gone, or an answer that never arrived. Everything else is reuse.
   */
  const uses = new Map();
  let latest;
  const offline = new Set();
  /** Whose answer comes late enough to be frozen before. */
  const slow = new Set();
  const hanging = new Set();
  const crashed = new Set();
  /** Those that crashed, also when another tab has taken their place. */
  const dead = new WeakSet();
  const lose = (page) => {
    for (const use of uses.values()) if (use.page === page && !use.isKept) use.isLost = true;
    note("loses what is under way", page);
  };
  const provider = {
    expiresIn: 1,
    forgives(refreshToken) {
      const { before } = uses.get(refreshToken);
      note("forgives or not", before.page, before);
      if (!before.isLost || before.isKept) return false;
      counts.forgiven++;
      return true;
    },
  };

  /**
   * Until it is known what became of a use. The browser tells of a request that failed, by the page's
   * own timeout too, on another way than of the next one, and on a busy machine later.
   */
  const fate = async (use) => {
    for (let waited = 0; use && !use.isLost && !use.isKept && waited < 2000; waited += 20) {
      await nap(20);
    }
  };

  /** What the network does to a request for tokens. */
  const answer = async (url, request) => {
    const page = request.frame().page();
    if (offline.has(page)) return "abort";
    if (url.pathname !== "/token") return undefined;
    const refreshToken = new URLSearchParams(request.postData()).get("refresh_token");
    if (refreshToken === null) return undefined;
    await nap(dice.upTo(4) === 0 ? dice.upTo(150) : 0);
    const isLost = dice.oneIn(40);
    if (!isLost && dice.oneIn(20)) {
      counts.failed++;
      note(`fails with ${nameOf(refreshToken)}`, page);
      return "abort";
    }
    await fate(uses.get(refreshToken));
    // The browser tells of no failure where a tab crashed: what it sent is on nobody's account.
    if (request.failure() !== null || page.isClosed() || dead.has(page)) return "abort";
    counts.refreshes++;
    // What is used again belongs from now on to whoever used it last.
    const before = uses.get(refreshToken);
    // What a page sent just before it hung comes after it was given up.
    const use = {
      ...{ token: nameOf(refreshToken), page, before },
      ...{ isLost: isLost || hanging.has(page), isKept: false, round: counts.rounds },
    };
    uses.set(refreshToken, use);
    latest = use;
    note(before ? "uses again" : "uses", page, use);
    page.emit("gatepass:refresh");
    const answered = await opened.provider.fetch(url.href, { body: request.postData() });
    const next = answered.ok ? nameOf((await answered.clone().json()).refresh_token) : "a refusal";
    note(`gets ${next} for`, page, use);
    await nap(slow.has(page) ? 500 : dice.upTo(4) === 0 ? dice.upTo(150) : 0);
    if (isLost) {
      counts.lost++;
      return "abort";
    }
    use.isAnswered = true;
    return {
      status: answered.status,
      headers: { "access-control-allow-origin": "*", "content-type": "application/json" },
      body: await answered.text(),
    };
  };

  const opened = await openTabs(launched, {
    provider,
    answer,
    options: { timeout: TIMEOUT_S },
    prepare: async (page) => {
      // Those that share a process crash together.
      page.on("crash", () => {
        counts.crashed++;
        crashed.add(page);
        dead.add(page);
        lose(page);
      });
      // The session is stored when a tab says that it renewed it.
      await page.exposeFunction("onGatepass", (type) => {
        if (type !== "refreshed") return;
        // It may tell of it after its next request.
        for (const use of uses.values()) if (use.page === page && use.isAnswered) use.isKept = true;
        note("renewed the session", page);
      });
      await prepare?.(page);
    },
  });
  const { context, first, tab, ready } = opened;
  context.on("requestfailed", (request) => {
    const used = new URLSearchParams(request.postData() ?? "").get("refresh_token");
    const use = uses.get(used);
    if (use) note("failed", request.frame().page(), use);
    if (use && use.page === request.frame().page()) use.isLost = true;
  });

  const session = new Map();
  const cdp = async (page) => {
    if (!session.has(page)) session.set(page, await context.newCDPSession(page));
    return session.get(page);
  };
  // Not Page.setWebLifecycleState: in a headless Chromium the timers of a frozen page go on.
  const freeze = async (page) => {
    await (await cdp(page)).send("Debugger.enable");
    await (await cdp(page)).send("Debugger.pause");
  };
  const thaw = async (page) => {
    await (await cdp(page)).send("Debugger.resume").catch(() => {}); // It had nothing to do.
    await (await cdp(page)).send("Debugger.disable");
  };

  /** Fails instead of waiting for ever. */
  const within = (promise, what) => {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${what} is stuck`)), STUCK_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  };
  const check = async (page, index) => {
    const ask = () =>
      page.evaluate(() =>
        window.client
          .accessToken()
          .then(
            (token) => ({ token }),
            ({ code }) => ({ code, seen: window.seen.slice(-8) }),
          )
          .then((found) => ({ ...found, signedIn: window.client.state().signedIn })),
      );
    // The weather goes on: a renewal that it spoils is no lost session, and the next one is well.
    for (let tries = 1; ; tries++) {
      const { token, signedIn, ...rest } = await within(ask(), `tab ${index}`);
      if (typeof token === "string" && signedIn) return;
      if (!signedIn || !WEATHER.includes(rest.code) || tries === MOST_TRIES) {
        throw new Error(`tab ${index} lost the session: ${JSON.stringify({ signedIn, ...rest })}`);
      }
    }
  };

  /** After a sign-out every tab is signed out, and no token of before lives; then somebody comes back. */
  const checkLeft = async (page) => {
    for (const [index, each] of tabs.entries()) {
      const found = await within(
        each.evaluate(async () => {
          const code = await window.client.accessToken().then(
            () => "a token",
            ({ code }) => code,
          );
          return { code, signedIn: window.client.state().signedIn, seen: window.seen.slice(-8) };
        }),
        `tab ${index}`,
      );
      if (found.signedIn || found.code !== "login_required") {
        throw new Error(`tab ${index} was not signed out: ${JSON.stringify(found)}`);
      }
    }
    // What the network lost, now or the last time before, nobody could end.
    const isLost =
      latest?.isLost || [...uses.values()].some((use) => use.round === counts.rounds && use.isLost);
    if (!isLost) {
      await until("the tokens of before have ended", () => !opened.provider.isAlive(), 10);
    }
    const url = await page.evaluate(() => window.client.signInUrl().then(String));
    const callback = opened.provider.signInAt(url);
    await within(
      page.evaluate((at) => window.client.handleCallback(at).then(() => {}), callback),
      "the sign-in",
    );
  };

  tabs.push(first);
  while (tabs.length < TABS) tabs.push(await tab());
  // The page of the sign-in cannot be loaded again.
  await first.close();
  tabs[0] = await tab();
  try {
    for (let round = 0; round < rounds; round++) {
      counts.rounds++;
      counts.reuses = opened.provider.reuses();
      if (counts.reuses > 0 || isOver?.(counts)) break;
      await play(round);
      // For those who watch ten thousand.
      if (counts.rounds % 1000 === 0) console.log(`seed ${seed}: ${counts.rounds} rounds`);
    }
  } catch (cause) {
    counts.reuses = opened.provider.reuses();
    if (counts.reuses === 0) {
      tellTrail();
      throw new Error(`seed ${seed}, round ${counts.rounds}: ${cause.message}`, { cause });
    }
  } finally {
    await context.close();
  }
  counts.reuses = opened.provider.reuses();
  if (counts.reuses > 0) {
    console.log(`seed ${seed}: reuse in round ${counts.rounds}`);
    tellTrail();
  }
  return counts;

  async function play(round) {
    // What the tabs do: most of them something, at almost the same time.
    const busy = tabs.map(async (page) => {
      await nap(dice.one([0, 0, 0, 5, 20, 60]));
      const act = dice.one(["accessToken", "accessToken", "refresh", "refresh", "nothing"]);
      if (act === "nothing") return;
      // Those whose tab is closed or reloaded do not hear of it.
      await page.evaluate((act) => window.client[act]().then(String, String), act).catch(() => {});
    });
    // What happens to them meanwhile.
    const after = [];
    let isLeft = false;
    const victim = dice.upTo(TABS);
    const page = tabs[victim];
    const isRefreshing = new Promise((resolve) => page.once("gatepass:refresh", resolve));
    // In the middle of a renewal, if there is one, or at any moment.
    const moment = Promise.race([
      dice.oneIn(2) ? isRefreshing.then(() => nap(dice.upTo(30))) : nap(dice.upTo(120)),
      nap(150),
    ]);
    const rare = (once, times) => round === once || dice.oneIn(times);
    const trouble = rare(HANGS, 150)
      ? "hung"
      : rare(CRASHES, 150)
        ? "crashed"
        : rare(LEAVES, 40)
          ? "left"
          : dice.one(["closed", "reloaded", "frozen", "offline", "calm", "calm", "calm", "calm"]);
    note(trouble, page);
    if (trouble === "offline") {
      counts.offline++;
      offline.add(page);
      await (await cdp(page)).send("Network.emulateNetworkConditions", conditions(true));
      after.push(async () => {
        offline.delete(page);
        await (await cdp(page)).send("Network.emulateNetworkConditions", conditions(false));
      });
    }
    await moment;
    if (trouble === "closed") {
      counts.closed++;
      lose(page);
      await page.close();
      lose(page);
      after.push(async () => {
        tabs[victim] = await tab();
      });
    }
    if (trouble === "crashed") {
      lose(page);
      // It is not answered any more.
      (await cdp(page)).send("Page.crash").catch(() => {});
      await page.waitForEvent("crash");
      after.push(async () => {
        for (const [index, tabOf] of tabs.entries()) {
          if (!crashed.delete(tabOf)) continue;
          await tabOf.close();
          tabs[index] = await tab();
        }
      });
    }
    if (trouble === "reloaded") {
      counts.reloaded++;
      lose(page);
      await page.reload({ waitUntil: "commit" });
      lose(page);
      after.push(() => ready(page));
    }
    if (trouble === "frozen") {
      counts.frozen++;
      await freeze(page);
      await nap(50 + dice.upTo(300));
      await thaw(page);
    }
    if (trouble === "left") {
      counts.left++;
      isLeft = true;
      const leaving = page.evaluate(() => window.client.signOutUrl().then(() => {}));
      await within(leaving, `tab ${victim}, which signs out,`);
    }
    if (trouble === "hung") {
      // It hangs with the lock for longer than the others wait, and wakes up when all is over.
      counts.hung++;
      slow.add(page);
      void page.evaluate(() => void window.client.refresh().catch(() => {})).catch(() => {});
      await Promise.race([isRefreshing, nap(3000)]);
      hanging.add(page);
      await freeze(page);
      lose(page);
      const others = tabs.filter((_, index) => index !== victim);
      const renewals = others.map((other) =>
        other.evaluate(() => window.client.refresh().then(String, String)),
      );
      await within(Promise.all(renewals), `a tab beside ${victim}`);
      slow.delete(page);
      hanging.delete(page);
      await thaw(page);
      lose(page);
    }
    note("is well again", page);
    for (const restore of after) await within(restore(), `tab ${victim}, which came back,`);
    await within(Promise.all(busy), "the round");
    if (isLeft) await checkLeft(page);
    await Promise.all(tabs.map(check));
  }
}

/** A token by the end of its name, which tells it from others. */
const nameOf = (refreshToken) => refreshToken.slice(-6);

const conditions = (offline) => ({
  offline,
  latency: 0,
  downloadThroughput: -1,
  uploadThroughput: -1,
});
